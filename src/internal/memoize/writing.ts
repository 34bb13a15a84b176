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
import type * as Storage from "../../Storage.js"
import type { StorageError } from "../../StorageError.js"
import { withNow } from "../storage/compat.js"
import { parseDuration } from "../storage/duration.js"
import { type Placed, sizeOf } from "../store/bounds.js"
import { soundly } from "../store/soundly.js"
import type { Call } from "./calls.js"
import { announcingStored } from "./coherence.js"
import { type Entry, print, revise } from "./entry.js"
import type { Parts } from "./parts.js"
import type { Reading } from "./reading.js"

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
  /** Whether something may be stored in whose place it comes, also if it is not stored itself. */
  readonly replaces: boolean
}

/** An answer as it is stored; undefined if it is not, and what was stored before is removed. */
interface Prepared<Args, A, E> {
  readonly answer: Answered<Args, A, E>
  readonly stored: {
    readonly entry: Entry
    readonly expiresAt: number | undefined
    readonly size: number
    readonly value: Storage.Value
  } | undefined
}

/** What was written, and how many bytes it has replaced. */
interface Written<Args, A, E> {
  readonly prepared: Prepared<Args, A, E>
  readonly replaced: number | undefined
}

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
      const nothing = answer.replaces ? [{ answer, stored: undefined }] : []
      if (life <= 0) return Effect.succeed(nothing)
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
        return bounds?.admits(size) === false ? nothing : [{ answer, stored: { entry, expiresAt, size, value } }]
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
          all.map(({ answer: { call, version }, stored }) => ({
            key: call.key,
            tags: stored?.entry.tags ?? [],
            version
          }))
        )
        const current = all.filter((_, i) => areCurrent[i])
        const sizes = yield* sizesOf(current.map(({ answer }) => answer.call.key))
        yield* keyspace.removeMany(
          current.flatMap(({ answer, stored }) => stored === undefined ? [answer.call.key] : [])
        )
        const [first, ...more] = current.flatMap(({ answer, stored }) =>
          stored === undefined ? [] : [{ expiresAt: stored.expiresAt, key: answer.call.key, value: stored.value }]
        )
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
      const placed: Array<Placed> = []
      for (const { prepared: { answer: { call, exit, moment }, stored }, replaced } of done) {
        yield* withNow((now) => {
          if (stored !== undefined) reading.hold(call, stored.entry, exit, now, moment)
          return announcingStored(storage, keyspace.name, call.text, stored && listener)
        })
        // In a transaction others may wait for it, and with them whoever has the turn.
        const isPlaced = bounds !== undefined && call.situation !== "transaction"
        if (stored === undefined) {
          if (isPlaced) yield* bounds.removed(call.key)
          continue
        }
        bounds?.counted(stored.size, replaced)
        if (isPlaced) placed.push({ bytes: stored.size, expiresAt: stored.expiresAt, key: call.key })
      }
      if (bounds !== undefined && placed.length > 0) count.evictions(yield* bounds.settled(placed))
      if (troubles[0] !== undefined) yield* Effect.fail(troubles[0])
      return done.length
    })

  /** Has the function not be called again for a while. */
  const rest = (call: Call<Args>, { isSoft, storedAt }: Entry): Effect.Effect<void, StorageError> =>
    withNow((now) =>
      Effect.asVoid(revise(keyspace, call.key, (entry) =>
        entry.storedAt === storedAt && entry.isSoft === isSoft
          ? { ...entry, retryAt: now + settings.backOff }
          : undefined))
    )

  return { rest, store }
}
