import { describe, expect, it } from 'vitest';
import { frameLine } from '../../../src/cli/dump/frame-line.ts';

const MACS = '020000000002 020000000001';
const FROM_TO = '02:00:00:00:00:01 > 02:00:00:00:00:02, ';
/** 2001-09-09 01:46:40 UTC and 42 microseconds. */
const TIME_US = 1e15 + 42;

/** The line of a frame given in hex, without its time. */
function line(hex: string): string {
  const bytes = Uint8Array.from(Buffer.from((MACS + hex).replaceAll(' ', ''), 'hex'));
  return frameLine(bytes, TIME_US).replace(/^\d\d:\d\d:\d\d\.\d{6} /, '');
}

const IPV4 = '4500 0030 0000 0000 40 11 0000 0a000001 0a000002';

describe('a frame as a line', () => {
  it('starts with the local time to the microsecond', () => {
    const date = new Date(1e12);
    const local = [date.getHours(), date.getMinutes(), date.getSeconds()]
      .map((n) => String(n).padStart(2, '0'))
      .join(':');
    expect(frameLine(new Uint8Array(60), TIME_US).split(' ')[0]).toBe(`${local}.000042`);
  });

  it.each([
    ['88b5 00', 'length 15: ethertype 0x88b5'],
    ['0026 42', 'length 15: 802.3'],
    [
      `0800 ${IPV4} 0035 a000 001c 0000`,
      'length 42: IPv4 10.0.0.1.53 > 10.0.0.2.40960: UDP, length 20',
    ],
    [
      `0800 ${IPV4} 0035 a000 0007 0000`,
      'length 42: IPv4 10.0.0.1.53 > 10.0.0.2.40960: UDP, bad length 7',
    ],
    [
      `0800 ${IPV4.replace('40 11', '40 06')} 0050 a000 00000000 00000000 5012 0000`,
      'length 50: IPv4 10.0.0.1.80 > 10.0.0.2.40960: TCP [S.]',
    ],
    [`0800 ${IPV4.replace('40 11', '40 01')} 0800`, 'length 36: IPv4 10.0.0.1 > 10.0.0.2: ICMP'],
    [
      `0800 ${IPV4.replace('40 11', '40 59')} 0800`,
      'length 36: IPv4 10.0.0.1 > 10.0.0.2: protocol 89',
    ],
    [
      `0800 ${IPV4.replace('0000 0000 40', '0000 00b9 40')} 0035 a000`,
      'length 38: IPv4 10.0.0.1 > 10.0.0.2: UDP fragment',
    ],
    ['0800 45', 'length 15: IPv4, cut short'],
    [
      '8100 6005 0806 0001 0800 0604 0001 020000000001 0a000001 000000000000 0a000002',
      'length 46: vlan 5, ARP who-has 10.0.0.2 tell 10.0.0.1',
    ],
    [
      '0806 0001 0800 0604 0002 020000000001 0a000001 020000000002 0a000002',
      'length 42: ARP 10.0.0.1 is-at 02:00:00:00:00:01',
    ],
    ['0806 0001', 'length 16: ARP, cut short'],
    [
      '86dd 60000000 0008 3a ff fe800000000000000000000000000001 ff020000000000000000000000000001 8700',
      'length 56: IPv6 fe80::1 > ff02::1: ICMPv6',
    ],
    [
      '86dd 60000000 0008 11 ff 20010db8000000000001000000000001 00000000000000000000000000000000 0035 0036',
      'length 58: IPv6 2001:db8::1:0:0:1.53 > ::.54: UDP',
    ],
    ['86dd 60', 'length 15: IPv6, cut short'],
  ])('%s is %s', (hex, text) => {
    expect(line(hex)).toBe(FROM_TO + text);
  });

  it('says so where there is not even an Ethernet header', () => {
    expect(frameLine(new Uint8Array(5), TIME_US)).toMatch(/ cut short, length 5$/);
  });
});
