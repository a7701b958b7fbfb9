// MSI-X of one VF, seen from the program: which eventfd the kernel signals for which cause. The
// device sends a message, the guest's IOMMU remaps it, vfio-pci signals the eventfd. Part of
// driver-checks.mjs. Registers (VTEICR and up, docs/82599-vf.md sec 8) are written out: no user of src/hw.

const VTEICR = 0x100;
const VTEICS = 0x104;
const VTEIMS = 0x108;
const VTEIMC = 0x10c;
const VTIVAR0 = 0x120;
const VALID = 0x80;
const ALL = 7;
const ARRIVE_MS = 30_000;
const SILENT_MS = 100;

/**
 * @param rig { device, shim, equal, pause }
 * @param send sends one frame to the device, and takes it from the ring
 */
export function interruptChecks({ device, shim, equal, pause }, send) {
  const fds = Array.from({ length: device.vectors }, () => shim.eventfd(0, 0));
  const drain = () => fds.map((fd) => shim.eventfdDrain(fd));

  /** Waits until something was signalled, then until nothing more is. @returns how often, by vector */
  function signals() {
    const sum = fds.map(() => 0);
    const polled = new Int32Array(fds.flatMap((fd) => [fd, 1, 0]));
    let wait = ARRIVE_MS;
    while (shim.poll(polled, fds.length, wait) > 0) {
      for (const [i, count] of drain().entries()) sum[i] += count;
      wait = SILENT_MS;
    }
    return sum;
  }

  function silence() {
    pause(SILENT_MS);
    return drain();
  }

  function start(connected) {
    device.enableVectors(connected);
    device.write32(VTEIMC, ALL);
    device.read32(VTEICR);
    device.write32(VTEIMS, ALL);
    drain();
  }

  const one = (vector) => fds.map((_, i) => (i === vector ? 1 : 0));
  const none = fds.map(() => 0);

  return {
    'each of the 3 MSI-X vectors signals its own eventfd': () => {
      equal(device.vectors, 3, 'vectors');
      start(fds);
      for (const vector of [0, 1, 2]) {
        device.write32(VTEICS, 1 << vector);
        equal(signals(), one(vector), `signals after vector ${vector} was triggered`);
        equal(device.read32(VTEICR), 1 << vector, 'VTEICR');
      }
    },
    'a received frame signals the vector of its queue; a masked vector does not': () => {
      start(fds);
      device.write32(VTIVAR0, VALID | 1);
      send(1);
      equal(signals(), one(1), 'signals after a frame');
      device.read32(VTEICR);
      device.write32(VTEIMC, ALL);
      send(2);
      equal(silence(), none, 'signals while masked');
      device.write32(VTEIMS, ALL);
      equal(signals(), one(1), 'signals once it was unmasked');
      device.read32(VTEICR);
      device.write32(VTIVAR0, 0);
    },
    'a vector without an eventfd, and all of them once disconnected, are silent': () => {
      start(fds.map((fd, i) => (i === 1 ? fd : -1)));
      device.write32(VTEICS, ALL);
      equal(signals(), one(1), 'signals with one eventfd');
      device.read32(VTEICR);
      device.disableVectors();
      device.write32(VTEICS, ALL);
      equal(silence(), none, 'signals once disconnected');
      device.read32(VTEICR);
      start(fds);
      device.write32(VTEICS, 4);
      equal(signals(), one(2), 'signals once connected again');
      device.disableVectors();
    },
  };
}
