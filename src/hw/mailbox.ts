// The mailbox between a VF and its PF: message word 0, opcodes, API versions.
// linux ixgbevf/mbx.h and DPDK ixgbe_mbx.h. How a message is carried is the
// driver's (src/ixgbevf/mailbox/mailbox.ts) and the model's (src/model) business.

import { fields } from './define.ts';

/** Words of the shared message buffer. */
export const MAILBOX_WORDS = 16;

/** Word 0 of every message. INFO is an argument of the opcode. */
export const MESSAGE = fields({
  OPCODE: [15, 0],
  INFO: [23, 16],
  CTS: [29, 29],
  NACK: [30, 30],
  ACK: [31, 31],
});

/** Requests of the VF, MESSAGE.OPCODE. API 2.0 (Solaris) gives other meanings to 0x0a..0x0f: never mix. */
export const REQUEST = {
  RESET: 0x01,
  SET_MAC_ADDR: 0x02,
  SET_MULTICAST: 0x03,
  SET_VLAN: 0x04,
  SET_LPE: 0x05,
  SET_MACVLAN: 0x06,
  API_NEGOTIATE: 0x08,
  GET_QUEUES: 0x09,
  GET_RETA: 0x0a,
  GET_RSS_KEY: 0x0b,
  UPDATE_XCAST_MODE: 0x0c,
  IPSEC_ADD: 0x0d,
  IPSEC_DEL: 0x0e,
  GET_LINK_STATE: 0x10,
  GET_PF_LINK_STATE: 0x11,
  FEATURES_NEGOTIATE: 0x12,
} as const;

/** Message of the PF that no request asked for: a ping; without CTS it withdraws the VF's registration. */
export const PF_CONTROL_PING = 0x0100;

export type ApiVersion = '1.0' | '1.1' | '1.2' | '1.3' | '1.4' | '1.5' | '1.6' | '1.7' | '2.0';

/** Wire codes of API_NEGOTIATE. The order is historical: compare by API_ORDER, never by code. */
export const API_CODE: Readonly<Record<ApiVersion, number>> = {
  '1.0': 0,
  '2.0': 1,
  '1.1': 2,
  '1.2': 3,
  '1.3': 4,
  '1.4': 5,
  '1.5': 6,
  '1.6': 7,
  '1.7': 8,
};

/** The 1.x versions, oldest first. */
export const API_ORDER: readonly ApiVersion[] = [
  '1.0',
  '1.1',
  '1.2',
  '1.3',
  '1.4',
  '1.5',
  '1.6',
  '1.7',
];

/** True when `version` is `least` or newer within 1.x; 2.0 is no successor of these. */
export function apiAtLeast(version: ApiVersion, least: ApiVersion): boolean {
  return API_ORDER.indexOf(version) >= API_ORDER.indexOf(least) && version !== '2.0';
}

/** Modes of UPDATE_XCAST_MODE. */
export const XCAST = { NONE: 0, MULTI: 1, ALLMULTI: 2, PROMISC: 3 } as const;
/** Hashes in one SET_MULTICAST at most. */
export const MAX_MULTICAST_HASHES = 30;

/** SET_LPE limits of a Linux PF, bytes with CRC. */
export const MIN_LPE = 68;
export const MAX_LPE = 9728;
