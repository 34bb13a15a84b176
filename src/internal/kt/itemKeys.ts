/**
 * The keys of items of queues and schedules: the key of the whole, a tab, and two numbers of twelve digits. The first is
 * what they are ordered by, and the second tells those apart that have the same.
 *
 * @internal
 */
import { concat, latin1, utf8 } from "./bytes.js"
import { padded } from "./numbers.js"

/** @internal */
export const tab = "\t"

/** @internal */
export const digits = 12

/**
 * The greatest number of so many digits.
 *
 * @internal
 */
export const greatestNumber = 10 ** digits - 1

/**
 * The greatest score of a queue: scores are counted down from it.
 *
 * @internal
 */
export const greatestScore = 500_000_000_000

/** @internal */
export const leastScore = greatestScore - greatestNumber

/** @internal */
export const prefixOf = (whole: Uint8Array): Uint8Array => concat(whole, utf8(tab))

const keyOf = (whole: Uint8Array, order: number, id: string): Uint8Array =>
  concat(whole, utf8(`${tab}${padded(order, digits)}${id}`))

/**
 * A number that tells items apart.
 *
 * @internal
 */
export const idOf = (id: number): string => padded(id, digits)

/** Behind all that have the same order. */
const last = "9".repeat(digits)

/** @internal */
export const queueKey = (queue: Uint8Array, score: number, id: string): Uint8Array =>
  keyOf(queue, greatestScore - score, id)

/**
 * The last key of items with at least this score.
 *
 * @internal
 */
export const lastWithScore = (queue: Uint8Array, score: number): Uint8Array =>
  // What is below zero sorts before all.
  queueKey(queue, Math.max(leastScore, Math.min(Math.ceil(score), greatestScore + 1)), last)

/** @internal */
export const scheduleKey = (schedule: Uint8Array, due: number, id: string): Uint8Array => keyOf(schedule, due, id)

/**
 * The last key of items that are due.
 *
 * @internal
 */
export const lastDue = (schedule: Uint8Array, due: number): Uint8Array =>
  scheduleKey(schedule, Math.min(Math.floor(due), greatestNumber), last)

/** @internal */
export const scoreIn = (queue: Uint8Array, key: Uint8Array): number =>
  greatestScore - Number(latin1(key.subarray(queue.length + 1, -digits)))

/** @internal */
export const idIn = (key: Uint8Array): string => latin1(key.subarray(-digits))

/**
 * The same place, for another number.
 *
 * @internal
 */
export const withOtherId = (key: Uint8Array, id: string): Uint8Array => concat(key.subarray(0, -digits), utf8(id))

/** @internal */
export const isItemOf = (whole: Uint8Array, key: Uint8Array): boolean => {
  const text = latin1(key)
  const prefix = latin1(prefixOf(whole))
  return text.startsWith(prefix) && numbers.test(text.slice(prefix.length))
}

const numbers = new RegExp(`^\\d{${2 * digits}}$`)
