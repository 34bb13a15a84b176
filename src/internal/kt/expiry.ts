/**
 * When a record expires. The protocol counts seconds, and a record lives until the one that it names is over.
 *
 * @internal
 */
import type { Expiry } from "../../KtTransport.js"

/**
 * The number that stands for "never": 40 bits.
 *
 * @internal
 */
export const xtMax = 2 ** 40 - 1

/** @internal */
export const never: Expiry = { _tag: "Never" }

/** @internal */
export const keep: Expiry = { _tag: "Keep" }

/** @internal */
export const fromXt = (xt: number, now: number): number | undefined => {
  const second = xt < 0 ? -xt : Math.floor(now / 1000) + xt
  return second >= xtMax ? undefined : (Math.trunc(second) + 1) * 1000
}

/** @internal */
export const toXt = (expiresAt: number | undefined): number =>
  expiresAt === undefined ? xtMax : Math.min(xtMax, Math.max(0, Math.ceil(expiresAt / 1000) - 1))

/**
 * Milliseconds since the epoch, for a record that replaces `current`.
 *
 * @internal
 */
export const expiresAt = (
  expiry: Expiry,
  now: number,
  current: { readonly expiresAt: number | undefined } | undefined
): number | undefined => {
  switch (expiry._tag) {
    case "Never":
      return undefined
    case "Keep":
      return current?.expiresAt
    case "After":
      return expiry.millis === Infinity ? undefined : now + expiry.millis
    case "At":
      return expiry.millis === Infinity ? undefined : expiry.millis
    case "Xt":
      return fromXt(expiry.xt, now)
  }
}
