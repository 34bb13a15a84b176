/**
 * When an entry that is written expires: what a user says, brought to a rule.
 *
 * @internal
 */
import * as DateTime from "effect/DateTime"
import * as Either from "effect/Either"
import type { Expiry, Time } from "../../TtlStore.js"
import { parseDuration, shown } from "../storage/duration.js"

/** @internal */
export interface Rule {
  /** Whether a live entry keeps the expiry it has. */
  readonly keeps: boolean
  /** When any other expires; `Infinity` for never. */
  readonly at: (now: number) => number
}

/**
 * Nothing expires: to that the time does not matter.
 *
 * @internal
 */
export const never: Rule = { at: () => Infinity, keeps: false }

/** @internal */
export const after = (millis: number): Rule => millis === Infinity ? never : { at: (now) => now + millis, keeps: false }

/** @internal */
export const at = (time: number): Rule => ({ at: () => time, keeps: false })

/** @internal */
export const keeping = (rule: Rule): Rule => ({ ...rule, keeps: true })

/**
 * Milliseconds since the epoch; or what is wrong with the input.
 *
 * @internal
 */
export const parseTime = (input: Time): Either.Either<number, string> => {
  const millis = DateTime.isDateTime(input) ? input.epochMillis : input instanceof Date ? input.getTime() : input
  return typeof millis === "number" && !Number.isNaN(millis)
    ? Either.right(millis)
    : Either.left(`${shown(input)} is no time to expire at; give a DateTime, a Date or milliseconds since the epoch`)
}

/**
 * The rule of what was said, or `unsaid`. `fallback` is for what is kept and was not there.
 *
 * @internal
 */
export const parseExpiry = (expiry: Expiry | undefined, unsaid: Rule, fallback: Rule): Either.Either<Rule, string> => {
  if (expiry === undefined || expiry === null) return Either.right(unsaid)
  const { expiresAt, keep, timeToLive } = expiry
  if (
    !(["timeToLive", "expiresAt", "keep"].some((name) => name in Object(expiry))) || (keep ?? true) !== true
  ) {
    return Either.left("an expiry is { timeToLive }, { expiresAt } or { keep: true }")
  }
  if (Number(timeToLive !== undefined) + Number(expiresAt !== undefined) + Number(keep === true) > 1) {
    return Either.left("of timeToLive, expiresAt and keep there can only be one")
  }
  return timeToLive !== undefined
    ? Either.map(parseDuration(timeToLive), after)
    : expiresAt !== undefined
    ? Either.map(parseTime(expiresAt), at)
    : Either.right(keep === true ? keeping(fallback) : unsaid)
}
