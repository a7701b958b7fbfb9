import { describe, expect, test } from 'vitest';
import { parsePortSpec, portSpecForChild } from '../../../src/model/ports/spec.ts';

describe('a port spec is refused', () => {
  test.each([
    ['', /expected one of none, gen.*got ""/],
    ['none:1', /expected one of none/],
    ['generator', /expected one of none, gen\[.*tap:NAME, cable:N, got "generator"/],
    ['gen:size=63', /size= an integer from 64 to 9728, got "63"/],
    ['gen:size=9729', /size= an integer from 64 to 9728, got "9729"/],
    ['gen:size=64.5', /size= an integer/],
    ['gen:size=1k', /size= an integer/],
    ['gen:speed=9', /one of size=, rate=.*got "speed=9"/],
    ['gen:size', /got "size"/],
    ['gen:size=64,size=128', /size= once/],
    ['gen:size=64,imix', /size= once/],
    ['gen:rate=0', /rate= frames a second above 0/],
    ['gen:rate=-5', /rate=/],
    ['gen:rate=fast', /rate=.*got "fast"/],
    ['gen:rate=2G', /up to 1G/],
    ['gen:flows=0', /flows= an integer from 1 to 16384/],
    ['gen:flows=16385', /flows= an integer from 1 to 16384/],
    ['gen:count=0', /count= an integer from 1/],
    ['gen:latency=0', /latency= an integer from 1 to 1000000/],
    ['gen:window=1-2', /latency=N beside window=/],
    [
      'gen:latency=1,window=2-2',
      /window= two numbers of seconds, ascending, such as 2-5, got "2-2"/,
    ],
    ['gen:latency=1,window=-2', /window= two numbers/],
    ['gen:vf=64', /vf= an integer from 0 to 63/],
    ['gen:dst=02:09', /dst= a MAC.*got "02:09"/],
    ['pcap:', /a file to play/],
    ['pcap:a.pcap,', /a file to write/],
    ['pcap:a.pcap,a.pcap', /another file to write/],
    ['pcap:a.pcap,dst=mac', /dst=vf or dst=keep/],
    ['pcap:a.pcap,dst=vf,b.pcap', /got "b.pcap"/],
    ['pcap:a.pcap,b=c.pcap', /one of dst=/],
    ['pcap:a.pcap,pad=1', /pad=yes or pad=no, got "1"/],
    ['pcap:a,x=y.pcap', /a comma in a path is written twice, got "x=y.pcap"/],
    ['tap:', /interface name/],
    ['tap:sixteen-bytes-xx', /interface name of 1 to 15 bytes/],
    ['tap:a/b', /interface name/],
    ['cable:', /cable= an integer/],
    ['cable:x', /cable= an integer/],
  ])('%j', (spec, message) => {
    expect(() => parsePortSpec(spec)).toThrow(RangeError);
    expect(() => parsePortSpec(spec)).toThrow(message);
  });
});

test('gen alone is closed loop, 60 bytes without CRC, one flow to VF 0, without end', () => {
  expect(parsePortSpec('gen')).toEqual({
    kind: 'gen',
    lengths: [60],
    rate: null,
    flows: 1,
    count: null,
    latency: null,
    window: null,
    vf: 0,
    dst: null,
  });
});

test('gen takes every key, a scaled rate and a MAC with colons', () => {
  expect(
    parsePortSpec(
      'gen:size=1518,rate=1.5M,flows=16384,count=7,latency=64,window=0.5-2,vf=3,dst=02:0A:ff:00:01:02',
    ),
  ).toEqual({
    kind: 'gen',
    lengths: [1514],
    rate: 1_500_000,
    flows: 16_384,
    count: 7,
    latency: 64,
    window: { from: 0.5, to: 2 },
    vf: 3,
    dst: Uint8Array.of(2, 10, 255, 0, 1, 2),
  });
});

test('imix is 7 frames of 64, 4 of 594 and 1 of 1518 bytes with CRC, in both spellings', () => {
  const spec = parsePortSpec('gen:imix');
  if (spec.kind !== 'gen') throw new Error('not a generator');
  const count = (length: number) => spec.lengths.filter((one) => one === length).length;
  expect([count(60), count(590), count(1514), spec.lengths.length]).toEqual([7, 4, 1, 12]);
  expect(parsePortSpec('gen:size=imix')).toEqual(spec);
});

test('pcap takes a file, a second file and options; a path may hold "=" behind a slash', () => {
  expect(parsePortSpec('pcap:in.pcap')).toEqual({
    kind: 'pcap',
    input: 'in.pcap',
    output: null,
    dst: null,
    vf: 0,
    rate: null,
    pad: false,
    loop: 1,
  });
  expect(parsePortSpec('pcap:c:/in.pcap,./a=b.pcap,dst=keep,vf=1,rate=10,loop=0,pad=yes')).toEqual({
    kind: 'pcap',
    input: 'c:/in.pcap',
    output: './a=b.pcap',
    dst: 'keep',
    vf: 1,
    rate: 10,
    pad: true,
    loop: 0,
  });
});

test('a comma that is part of a path is written twice', () => {
  expect(parsePortSpec('pcap:dir,,x=y/in.pcap,/tmp/a,,,,b,,vf=3.pcap,vf=1')).toMatchObject({
    input: 'dir,x=y/in.pcap',
    output: '/tmp/a,,b,vf=3.pcap',
    vf: 1,
  });
});

test.each([
  ['pcap:-', 'pcap:/proc/7/fd/0'],
  ['pcap:/dev/stdin,out.pcap,pad=yes', 'pcap:/proc/7/fd/0,out.pcap,pad=yes'],
  ['pcap:/dev/fd/63,loop=1', 'pcap:/proc/7/fd/63,loop=1'],
  ['pcap:/proc/self/fd/5', 'pcap:/proc/7/fd/5'],
  ['pcap:-,,a.pcap', 'pcap:-,,a.pcap'],
  ['pcap:/dev/fd/63x', 'pcap:/dev/fd/63x'],
  ['tap:-', 'tap:-'],
])('%s of a command is %s for a child process of number 7', (spec, forChild) => {
  expect(portSpecForChild(spec, 7)).toBe(forChild);
});

test('none, tap and cable', () => {
  expect(parsePortSpec('none')).toEqual({ kind: 'none' });
  expect(parsePortSpec('tap:ixy0')).toEqual({ kind: 'tap', name: 'ixy0' });
  expect(parsePortSpec('cable:12')).toEqual({ kind: 'cable', cable: 12 });
});
