/**
 * A user's range, brought to one form that engines read: one lower bound, one upper bound, a direction, a limit.
 *
 * @internal
 */
import type { Range } from "../../Storage.js"
import type { KeyKind } from "./keys.js"

/** @internal */
export interface Bound<K> {
  readonly key: K
  readonly inclusive: boolean
}

/** @internal */
export interface Bounds<K> {
  readonly lower: Bound<K> | undefined
  readonly upper: Bound<K> | undefined
  readonly reverse: boolean
  /** `Infinity` for none. */
  readonly limit: number
}

/** @internal */
export const toBounds = <K>(kind: KeyKind<K>, range: Range<K>): Bounds<K> => {
  let lower: Bound<K> | undefined
  let upper: Bound<K> | undefined
  const raise = (key: K | undefined, inclusive: boolean) => {
    if (key === undefined) return
    const order = lower === undefined ? 1 : kind.compare(key, lower.key)
    if (order > 0 || (order === 0 && !inclusive)) lower = { inclusive, key }
  }
  const cut = (key: K | undefined, inclusive: boolean) => {
    if (key === undefined) return
    const order = upper === undefined ? -1 : kind.compare(key, upper.key)
    if (order < 0 || (order === 0 && !inclusive)) upper = { inclusive, key }
  }
  const reverse = range.reverse === true
  if (range.prefix !== undefined && !kind.isEmpty(range.prefix)) {
    raise(range.prefix, true)
    cut(kind.afterPrefix(range.prefix), false)
  }
  raise(range.from, true)
  cut(range.to, false)
  cut(range.through, true)
  if (reverse) cut(range.after, false)
  else raise(range.after, false)
  return { limit: toLimit(range.limit), lower, reverse, upper }
}

/**
 * A limit as a whole number that is not negative, or `Infinity`.
 *
 * @internal
 */
export const toLimit = (limit: number | undefined): number =>
  limit === undefined || limit > Number.MAX_SAFE_INTEGER
    ? Infinity
    : Number.isNaN(Number(limit))
    ? 0
    : Math.max(0, Math.floor(Number(limit)))

/**
 * The rest of a range after the given key.
 *
 * @internal
 */
export const beyond = <K>(bounds: Bounds<K>, key: K, limit: number): Bounds<K> =>
  bounds.reverse
    ? { ...bounds, limit, upper: { inclusive: false, key } }
    : { ...bounds, limit, lower: { inclusive: false, key } }
