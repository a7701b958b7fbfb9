// What the VF asked to receive besides its own MAC: VLANs and multicast groups.
// The PF forgets them at every reset, so they are kept here and sent again.

import { apiAtLeast, MAX_MULTICAST_HASHES, XCAST } from '../../hw/mailbox.ts';
import { MailboxError } from '../../support/errors.ts';
import type { Log } from '../../support/log.ts';
import { formatMac, parseMac } from '../../support/mac.ts';
import { finish } from '../../support/poll.ts';
import { checkInteger } from '../options.ts';
import type { Registration } from './handshake.ts';
import type { Mailbox } from './mailbox.ts';
import { requestMulticast, requestVlan, requestXcastMode } from './requests.ts';

const VLAN_REFUSED =
  'PF refused: the host put this VF into a VLAN of its own, or the port has no VLAN filter left';

/** VLANs and multicast groups of one VF. */
export class Filters {
  private readonly vlans = new Set<number>();
  private readonly groups = new Set<string>();

  /** VLAN ids joined, ascending. */
  get vlanIds(): number[] {
    return [...this.vlans].sort((a, b) => a - b);
  }

  /**
   * @param vlan 1..4094
   * @throws RangeError; MailboxError
   */
  addVlan(mailbox: Mailbox, vlan: number): void {
    finish(askForVlan(mailbox, vlan, true));
    this.vlans.add(vlan);
  }

  /**
   * @param vlan 1..4094
   * @throws RangeError; MailboxError
   */
  removeVlan(mailbox: Mailbox, vlan: number): void {
    finish(askForVlan(mailbox, vlan, false));
    this.vlans.delete(vlan);
  }

  /**
   * @param group a multicast MAC; at most 30 of them
   * @throws RangeError, TypeError; MailboxError
   */
  joinMulticast(mailbox: Mailbox, group: string, filterType: number): void {
    const mac = parseMac('multicast group', group);
    if ((mac[0] & 1) === 0) {
      throw new RangeError(`multicast group: expected a group address, got ${group}`);
    }
    const groups = new Set(this.groups).add(formatMac(mac));
    if (groups.size > MAX_MULTICAST_HASHES) {
      throw new RangeError(
        `multicast group: expected at most ${MAX_MULTICAST_HASHES} groups a VF, got one more`,
      );
    }
    finish(this.sendGroups(mailbox, groups, filterType));
    this.groups.add(formatMac(mac));
  }

  /**
   * Sends everything to a PF that knows nothing of it. A refusal of what was granted before is logged. May be left for a
   * while wherever it yields.
   * @throws MailboxError timeout or reset
   */
  *restore(mailbox: Mailbox, registration: Registration, log: Log): Generator<void> {
    if (apiAtLeast(registration.apiVersion, '1.2')) {
      // An ACK does not mean "as asked": the effective mode comes back.
      const mode = yield* requestXcastMode(mailbox, XCAST.MULTI);
      if (mode !== XCAST.MULTI) {
        log.warn(`PF gave cast mode ${mode ?? 'none'} instead of ${XCAST.MULTI} (multicast)`);
      }
    }
    if (this.groups.size > 0) yield* this.sendGroups(mailbox, this.groups, registration.filterType);
    // VID 0 carries untagged and priority-tagged frames; a PF with a port VLAN refuses even that.
    if (!(yield* requestVlan(mailbox, 0, true)))
      log.info('PF refused VLAN 0: the host chose the VLAN');
    for (const vlan of this.vlanIds) {
      if (!(yield* requestVlan(mailbox, vlan, true)))
        log.warn(`VLAN ${vlan} lost: ${VLAN_REFUSED}`);
    }
  }

  private *sendGroups(
    mailbox: Mailbox,
    groups: ReadonlySet<string>,
    filterType: number,
  ): Generator<void> {
    const macs = [...groups].map((group) => parseMac('multicast group', group));
    if (!(yield* requestMulticast(mailbox, macs, filterType))) {
      throw new MailboxError('SET_MULTICAST', 'nack', 'PF refused the multicast groups');
    }
  }
}

function* askForVlan(mailbox: Mailbox, vlan: number, member: boolean): Generator<void> {
  checkInteger('vlan', vlan, 1, 4094);
  if (!(yield* requestVlan(mailbox, vlan, member)))
    throw new MailboxError('SET_VLAN', 'nack', VLAN_REFUSED);
}
