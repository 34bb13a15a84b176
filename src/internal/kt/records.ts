/**
 * What is done to one record, atomically.
 *
 * @internal
 */
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Option from "effect/Option"
import { KtError } from "../../KtError.js"
import type { Expiry, Failure, Origin } from "../../KtTransport.js"
import * as Storage from "../../Storage.js"
import { withNow } from "../storage/compat.js"
import { bytesOf, concat, equal } from "./bytes.js"
import type { Bytes } from "./databases.js"
import { expiresAt } from "./expiry.js"
import { addFixed, fromFixed, isInt64, readFixed, readInt, toFixed, writeFixed, writeInt } from "./numbers.js"

type Current = Storage.Entry<Uint8Array> | undefined

/** @internal */
export const set = (
  keyspace: Bytes,
  key: Uint8Array,
  value: Uint8Array,
  expiry: Expiry
): Effect.Effect<void, Failure> =>
  expiry._tag === "Never"
    ? keyspace.set(key, value)
    : expiry._tag === "Keep"
    ? Effect.asVoid(write(keyspace, key, value, expiry, () => true))
    : withNow((now) => keyspace.set(key, value, expiresAt(expiry, now, undefined)))

/**
 * Writes in one case, and tells whether it did.
 *
 * @internal
 */
export const write = (
  keyspace: Bytes,
  key: Uint8Array,
  value: Uint8Array,
  expiry: Expiry,
  when: (isThere: boolean) => boolean
): Effect.Effect<boolean, Failure> =>
  withNow((now) =>
    keyspace.modify(key, (entry) =>
      when(Option.isSome(entry))
        ? [true, Storage.put(value, expiresAt(expiry, now, Option.getOrUndefined(entry)))]
        : [false, Storage.keep])
  )

/** @internal */
export const append = (
  keyspace: Bytes,
  key: Uint8Array,
  value: Uint8Array,
  expiry: Expiry
): Effect.Effect<void, Failure> =>
  withNow((now) =>
    keyspace.modify(key, (entry) => {
      const current: Current = Option.getOrUndefined(entry)
      const whole = current === undefined ? value : concat(bytesOf(current.value), value)
      return [undefined, Storage.put(whole, expiresAt(expiry, now, current))]
    })
  )

/** @internal */
export const cas = (
  keyspace: Bytes,
  key: Uint8Array,
  expected: Option.Option<Uint8Array>,
  next: Option.Option<Uint8Array>,
  expiry: Expiry
): Effect.Effect<boolean, Failure> =>
  withNow((now) =>
    keyspace.modify(key, (entry) => {
      const isExpected = Option.isSome(entry) && Option.isSome(expected)
        ? equal(bytesOf(entry.value.value), expected.value)
        : Option.isNone(entry) && Option.isNone(expected)
      return [
        isExpected,
        !isExpected
          ? Storage.keep
          : Option.isSome(next)
          ? Storage.put(next.value, expiresAt(expiry, now, Option.getOrUndefined(entry)))
          : Storage.remove
      ]
    })
  )

/** A kind of numbers, as they are kept. */
interface Kind<N> {
  readonly method: string
  readonly bytes: number
  readonly read: (bytes: Uint8Array) => N | undefined
  readonly write: (value: N) => Uint8Array
  readonly add: (a: N, b: N) => N | undefined
}

/** Records that are written along with a number; undefined if it is none that they can be counted by. */
type Along<N> = (sum: N) => ReadonlyArray<Storage.Entry<Uint8Array>> | undefined

const increase = <N>(
  { add, bytes, method, read, write }: Kind<N>,
  keyspace: Bytes,
  key: Uint8Array,
  by: N,
  isZero: boolean,
  orig: Origin<N>,
  expiry: Expiry,
  along?: Along<N>
): Effect.Effect<N, Failure> => {
  const fail = (reason: KtError["reason"], detail: string) => Either.left(new KtError({ detail, key, method, reason }))
  return Effect.flatten(
    withNow((now) =>
      keyspace.modify(key, (entry): readonly [Either.Either<N, KtError>, Storage.Change<Uint8Array>] => {
        const current: Current = Option.getOrUndefined(entry)
        const put = (value: N): readonly [Either.Either<N, KtError>, Storage.Change<Uint8Array>] => {
          const others = along?.(value)
          return along !== undefined && others === undefined
            ? [fail("NotANumber", "the record does not count items; nothing was written"), Storage.keep]
            : [Either.right(value), Storage.put(write(value), expiresAt(expiry, now, current), others)]
        }
        const summed = (a: N) => {
          const sum = add(a, by)
          return sum === undefined
            ? [fail("Overflow", "the sum is beyond 64 bits; nothing was written"), Storage.keep] as const
            : put(sum)
        }
        if (orig === "set") return put(by)
        if (current === undefined) {
          return orig === "try"
            ? [fail("NoRecord", "there is no record; leave out `orig` to begin with 0"), Storage.keep]
            : summed(orig)
        }
        const before = bytesOf(current.value)
        const number = read(before)
        if (number === undefined) {
          return [
            fail("NotANumber", `the record has ${before.length} bytes and a number has ${bytes}; nothing was written`),
            Storage.keep
          ]
        }
        return isZero ? [Either.right(number), Storage.keep] : summed(number)
      })
    )
  )
}

const ints: Kind<bigint> = {
  add: (a, b) => isInt64(a + b) ? a + b : undefined,
  bytes: 8,
  method: "increment",
  read: readInt,
  write: writeInt
}

/** @internal */
export const increment = (
  keyspace: Bytes,
  key: Uint8Array,
  by: bigint,
  orig: Origin<bigint>,
  expiry: Expiry
): Effect.Effect<bigint, Failure> =>
  isInt64(by) && (typeof orig === "string" || isInt64(orig))
    ? increase(ints, keyspace, key, by, by === 0n, orig, expiry)
    : Effect.fail(
      new KtError({
        detail: `${by} and ${orig} are not both of 64 bits; nothing was written`,
        key,
        method: "increment",
        reason: "Overflow"
      })
    )

const decimals = {
  add: addFixed,
  bytes: 16,
  method: "incrementDouble",
  read: readFixed,
  write: writeFixed
}

/** @internal */
export const incrementDouble = (
  keyspace: Bytes,
  key: Uint8Array,
  by: number,
  orig: Origin<number>,
  expiry: Expiry,
  along?: Along<number>
): Effect.Effect<number, Failure> => {
  const fixed = toFixed(by)
  const origin = typeof orig === "string" ? orig : toFixed(orig)
  return fixed === undefined || origin === undefined
    ? Effect.fail(
      new KtError({
        detail: `${by} and ${orig} are not both numbers of 64 bits; nothing was written`,
        key,
        method: "incrementDouble",
        reason: "Overflow"
      })
    )
    : Effect.map(
      increase(
        decimals,
        keyspace,
        key,
        fixed,
        by === 0,
        origin,
        expiry,
        along && ((sum) => along(fromFixed(sum)))
      ),
      fromFixed
    )
}

/** A time at which something expires, if it does. */
type Expires = Pick<Storage.Entry, "expiresAt">

/** Changes when records expire, and tells `told` of each that is there. */
const touching = (
  keyspace: Bytes,
  keys: ReadonlyArray<Uint8Array>,
  change: (before: Expires, now: number) => number | undefined,
  told: (before: number | undefined, after: number | undefined) => number | undefined
): Effect.Effect<ReadonlyArray<Option.Option<Expires>>, Failure> =>
  withNow((now) =>
    Effect.forEach(keys, (key) =>
      keyspace.modify(key, (entry): readonly [Option.Option<Expires>, Storage.Change] => {
        if (Option.isNone(entry)) return [Option.none(), Storage.keep]
        const before = entry.value.expiresAt
        const after = change(entry.value, now)
        return [
          Option.some({ expiresAt: told(before, after) }),
          after === before ? Storage.keep : Storage.put(entry.value.value, after)
        ]
      }))
  )

/**
 * Changes when records expire; tells when they did before.
 *
 * @internal
 */
export const touch = (keyspace: Bytes, keys: ReadonlyArray<Uint8Array>, expiry: Expiry) =>
  touching(keyspace, keys, (before, now) => expiresAt(expiry, now, before), (before) => before)

/**
 * Has records expire later, or earlier; tells when they do then.
 *
 * @internal
 */
export const touchRelative = (keyspace: Bytes, keys: ReadonlyArray<Uint8Array>, millis: number) =>
  touching(
    keyspace,
    keys,
    ({ expiresAt }) => expiresAt === undefined ? undefined : expiresAt + millis,
    (_, after) => after
  )
