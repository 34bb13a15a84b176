/**
 * How answers are stored.
 *
 * @internal
 */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import type { Trouble } from "../../Memoize.js"
import * as Storage from "../../Storage.js"
import type { StorageError } from "../../StorageError.js"
import { withNow } from "../storage/compat.js"
import { parseDuration } from "../storage/duration.js"
import { sizeOf } from "./bounds.js"
import type { Call } from "./calls.js"
import { announcingStored } from "./coherence.js"
import { type Entry, parse, print } from "./entry.js"
import type { Parts } from "./parts.js"
import type { Reading } from "./reading.js"
import { soundly } from "./soundly.js"

/**
 * An answer that the function gave.
 *
 * @internal
 */
export interface Answered<Args, A, E> {
  readonly call: Call<Args>
  readonly exit: Exit.Exit<A, E>
  /** How long the function took, in milliseconds. */
  readonly lookupMillis: number
  /** When it was called: what invalidations had come to, and what was in memory. */
  readonly version: number
  readonly moment: number
}

/** An answer as it is stored. */
interface Prepared<Args, A, E> {
  readonly answer: Answered<Args, A, E>
  readonly entry: Entry
  readonly expiresAt: number | undefined
  readonly size: number
  readonly value: Storage.Value
}

/** What was written, and how many bytes it has replaced. */
interface Written<Args, A, E> {
  readonly prepared: Prepared<Args, A, E>
  readonly replaced: number | undefined
}

/** @internal */
export type Writing<Args extends ReadonlyArray<unknown>, A, F> = ReturnType<typeof makeWriting<Args, A, F>>

/** @internal */
export const makeWriting = <Args extends ReadonlyArray<unknown>, A, F>(
  parts: Parts<Args, A, F>,
  reading: Reading<Args, A, F>
) => {
  const { bounds, count, failures, invalid, keyspace, listener, settings, storage, successes, versions } = parts
  const { tags, timeToLive } = parts.options
  /** How long an answer is kept after it was fresh. */
  const retention = Math.max(settings.staleWhileRevalidate, settings.staleIfError)

  /** What the options say of an answer. */
  const described = (exit: Exit.Exit<A, F>, args: Args) => {
    try {
      const life = parseDuration(typeof timeToLive === "function" ? timeToLive(exit, args) : timeToLive)
      const names = tags === undefined || Exit.isFailure(exit) ? [] : [...new Set(tags(args, exit.value))]
      return Either.mapBoth(life, {
        onLeft: (issue) => invalid(`timeToLive: ${issue}`),
        onRight: (life) => ({ life, names })
      })
    } catch (cause) {
      return Either.left(invalid(`timeToLive, or tags, threw ${String(cause)}`, cause))
    }
  }

  const encode = (key: string, exit: Exit.Exit<A, F>): Effect.Effect<Storage.Value, Trouble> => {
    const at = { key, keyspace: keyspace.name }
    if (Exit.isSuccess(exit)) return successes.encode(exit.value, at)
    const error = Cause.failureOption(exit.cause)
    return failures === undefined || Option.isNone(error)
      ? Exit.fail(invalid("a failure is stored by its schema, and there is none"))
      : failures.encode(error.value, at)
  }

  /** An answer as it is to be stored, if it is. */
  const prepare = (
    answer: Answered<Args, A, F>
  ): Effect.Effect<ReadonlyArray<Prepared<Args, A, F>>, Trouble> =>
    withNow((now): Effect.Effect<ReadonlyArray<Prepared<Args, A, F>>, Trouble> => {
      const { call, exit, lookupMillis, version } = answer
      const description = described(exit, call.args)
      if (Either.isLeft(description)) return Effect.fail(description.left)
      const { life, names } = description.right
      if (life <= 0) return Effect.succeed([])
      return Effect.map(encode(call.key, exit), (body) => {
        const freshUntil = now + life
        const entry: Entry = {
          body,
          freshUntil,
          isSoft: false,
          kind: Exit.isSuccess(exit) ? "success" : "failure",
          lookupMillis,
          retryAt: 0,
          storedAt: now,
          tags: names,
          version
        }
        const value = print(entry)
        const size = sizeOf(call.key, value)
        const expiresAt = freshUntil === Infinity ? undefined : freshUntil + retention
        return bounds?.admits(size) === false ? [] : [{ answer, entry, expiresAt, size, value }]
      })
    })

  const sizesOf = (keys: ReadonlyArray<string>) =>
    bounds === undefined ? Effect.succeed([]) : Effect.map(
      keyspace.getMany(keys),
      (found) => found.map(Option.map(({ key, value }) => sizeOf(key, value)))
    )

  /** All that were not invalidated since they were computed, whatever their number in a few statements. */
  const write = (
    all: ReadonlyArray<Prepared<Args, A, F>>
  ): Effect.Effect<ReadonlyArray<Written<Args, A, F>>, StorageError> =>
    all.length === 0 ? Effect.succeed([]) : storage.transaction(
      Effect.gen(function*() {
        const areCurrent = yield* versions.areCurrent(
          all.map(({ answer: { call, version }, entry }) => ({ key: call.key, tags: entry.tags, version }))
        )
        const current = all.filter((_, i) => areCurrent[i])
        const sizes = yield* sizesOf(current.map(({ answer }) => answer.call.key))
        const [first, ...more] = current.map(({ answer, expiresAt, value }) => ({
          expiresAt,
          key: answer.call.key,
          value
        }))
        // One alone needs no savepoint.
        if (first !== undefined && more.length === 0) yield* keyspace.set(first.key, first.value, first.expiresAt)
        else if (first !== undefined) yield* keyspace.setMany([first, ...more])
        return current.map((prepared, i) => ({ prepared, replaced: Option.getOrUndefined(sizes[i] ?? Option.none()) }))
      }).pipe(soundly),
      { retry: true }
    )

  /** Stores answers, and tells how many. Those that cannot be stored hinder no others. */
  const store = (answers: ReadonlyArray<Answered<Args, A, F>>): Effect.Effect<number, Trouble> =>
    Effect.gen(function*() {
      const [troubles, prepared] = yield* Effect.partition(answers, prepare)
      const done = yield* write(prepared.flat())
      for (const { prepared: { answer: { call, exit, moment }, entry, size }, replaced } of done) {
        bounds?.counted(size, replaced)
        yield* withNow((now) => {
          reading.hold(call, entry, exit, now, moment)
          return announcingStored(storage, keyspace.name, call.text, listener)
        })
      }
      // In a transaction others may wait for it, and with them whoever has the turn.
      const placed = done.filter(({ prepared: { answer } }) => answer.call.situation !== "transaction")
      if (bounds !== undefined && placed.length > 0) {
        count.evictions(
          yield* bounds.settled(
            placed.map(({ prepared: { answer, expiresAt, size } }) => ({
              bytes: size,
              expiresAt,
              key: answer.call.key
            }))
          )
        )
      }
      if (troubles[0] !== undefined) yield* Effect.fail(troubles[0])
      return done.length
    })

  /** Has the function not be called again for a while. */
  const rest = (call: Call<Args>, { isSoft, storedAt }: Entry): Effect.Effect<void, StorageError> =>
    withNow((now) =>
      soundly(keyspace.modify(call.key, (stored) => {
        const entry = Option.isNone(stored) ? undefined : parse(stored.value.value)
        return Option.isSome(stored) && entry?.storedAt === storedAt && entry.isSoft === isSoft
          ? [undefined, Storage.put(print({ ...entry, retryAt: now + settings.backOff }), stored.value.expiresAt)]
          : [undefined, Storage.keep]
      }))
    )

  return { rest, store }
}
