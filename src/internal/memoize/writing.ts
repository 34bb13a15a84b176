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
import { type Entry, print } from "./entry.js"
import { forgetting } from "./inMemory.js"
import type { Parts } from "./parts.js"
import { entryOf, type Known, type Reading } from "./reading.js"
import { soundly } from "./soundly.js"

/**
 * An answer that the function gave, and what was known before.
 *
 * @internal
 */
export interface Answered<Args, A, E> {
  readonly call: Call<Args>
  readonly known: Known
  readonly exit: Exit.Exit<A, E>
  /** What the versions of tags had come to. */
  readonly version: number
  /** How long the function took, in milliseconds. */
  readonly lookupMillis: number
  /** Whether it still is to be stored, as far as this process knows. */
  readonly isCurrent: () => boolean
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

/** Whether it was computed after the last invalidation. */
const isValid = <Args, A, E>(
  { answer: { isCurrent, known } }: Prepared<Args, A, E>,
  stored: Option.Option<Storage.Entry>
): boolean => {
  const mark = entryOf(stored)?.mark ?? ""
  return isCurrent() && (mark === "" || mark === known.mark)
}

const written = <Args, A, E>(
  prepared: Prepared<Args, A, E>,
  stored: Option.Option<Storage.Entry>
): Written<Args, A, E> => ({
  prepared,
  replaced: Option.isNone(stored) ? undefined : sizeOf(stored.value.key, stored.value.value)
})

/** @internal */
export type Writing<Args extends ReadonlyArray<unknown>, A, F> = ReturnType<typeof makeWriting<Args, A, F>>

/** @internal */
export const makeWriting = <Args extends ReadonlyArray<unknown>, A, F>(
  parts: Parts<Args, A, F>,
  reading: Reading<Args, A, F>
) => {
  const { bounds, count, failures, invalid, keyspace, memory, settings, storage, successes } = parts
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
      const { call, exit, isCurrent, lookupMillis, version } = answer
      const description = described(exit, call.args)
      if (Either.isLeft(description)) return Effect.fail(description.left)
      const { life, names } = description.right
      if (life <= 0 || !isCurrent()) return Effect.succeed([])
      return Effect.map(encode(call.key, exit), (body) => {
        const freshUntil = now + life
        const entry: Entry = {
          body,
          freshUntil,
          kind: Exit.isSuccess(exit) ? "success" : "failure",
          lookupMillis,
          mark: "",
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

  const writeOne = (one: Prepared<Args, A, F>): Effect.Effect<ReadonlyArray<Written<Args, A, F>>, StorageError> =>
    soundly(keyspace.modify(one.answer.call.key, (stored) =>
      isValid(one, stored)
        ? [[written(one, stored)], Storage.put(one.value, one.expiresAt)]
        : [[], Storage.keep]))

  /** All or none, whatever their number in a few statements. */
  const writeMany = (
    all: ReadonlyArray<Prepared<Args, A, F>>
  ): Effect.Effect<ReadonlyArray<Written<Args, A, F>>, StorageError> =>
    storage.transaction(
      Effect.flatMap(soundly(keyspace.getMany(all.map(({ answer }) => answer.call.key))), (stored) => {
        const done = all.flatMap((one, i) => {
          const before = stored[i] ?? Option.none()
          return isValid(one, before) ? [written(one, before)] : []
        })
        const entries = done.map(({ prepared: { answer, expiresAt, value } }) => ({
          expiresAt,
          key: answer.call.key,
          value
        }))
        return Effect.as(soundly(keyspace.setMany(entries)), done)
      }),
      { retry: true }
    )

  const write = (all: ReadonlyArray<Prepared<Args, A, F>>) =>
    all.length === 1 && all[0] !== undefined ? writeOne(all[0]) : all.length === 0 ? Exit.succeed([]) : writeMany(all)

  /** Stores answers. Those that cannot be stored hinder no others. */
  const store = (answers: ReadonlyArray<Answered<Args, A, F>>): Effect.Effect<void, Trouble> =>
    Effect.gen(function*() {
      const generation = memory?.generation ?? 0
      const [troubles, prepared] = yield* Effect.partition(answers, prepare)
      const done = yield* write(prepared.flat())
      for (const { prepared: { answer: { call, exit }, entry, size }, replaced } of done) {
        bounds?.counted(size, replaced)
        yield* withNow((now) => {
          reading.hold(call, entry, exit, now, generation)
          return forgetting(storage, keyspace.name, call.text, memory)
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
    })

  /** Has the function not be called again for a while. */
  const rest = (call: Call<Args>, { mark, storedAt }: Entry): Effect.Effect<void, StorageError> =>
    withNow((now) =>
      soundly(keyspace.modify(call.key, (stored) => {
        const entry = entryOf(stored)
        return Option.isSome(stored) && entry?.storedAt === storedAt && entry.mark === mark
          ? [undefined, Storage.put(print({ ...entry, retryAt: now + settings.backOff }), stored.value.expiresAt)]
          : [undefined, Storage.keep]
      }))
    )

  return { rest, store }
}
