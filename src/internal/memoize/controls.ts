/**
 * What can be done to stored answers by hand.
 *
 * @internal
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type { Controls, Peeked, Trouble } from "../../Memoize.js"
import type { InvalidKey, StorageError } from "../../StorageError.js"
import { withNow } from "../storage/compat.js"
import { soundly } from "../store/soundly.js"
import type { Call } from "./calls.js"
import { announcingInvalidated } from "./coherence.js"
import { type Entry, revise } from "./entry.js"
import type { Parts } from "./parts.js"
import type { Reading } from "./reading.js"

/** @internal */
export const makeControls = <Args extends ReadonlyArray<unknown>, A, F>(
  { bounds, calls, keyspace, storage, versions }: Parts<Args, A, F>,
  reading: Reading<Args, A, F>
): Controls<Args, A, F> => {
  /** Changes what is stored, and has what is being computed not be stored, for one call or for all. */
  const invalidating = <B>(
    call: Call<Args> | undefined,
    change: Effect.Effect<B, StorageError | InvalidKey>
  ): Effect.Effect<B, StorageError> => {
    const announced = announcingInvalidated(storage, keyspace.name, call)
    const changed = storage.transaction(Effect.zipRight(versions.raise(call?.key), soundly(change)), { retry: true })
    // What is read and begun meanwhile is outdated, too.
    return Effect.zipRight(announced, Effect.ensuring(changed, announced))
  }

  const soften = ({ key }: Call<Args>): Effect.Effect<boolean, StorageError> =>
    withNow((now) =>
      revise(keyspace, key, (entry) => ({
        ...entry,
        freshUntil: Math.min(entry.freshUntil, now),
        isSoft: true,
        retryAt: 0
      }))
    )

  const show = (call: Call<Args>, entry: Entry, isFresh: boolean, now: number) =>
    Effect.map(reading.decode(call, entry), (exit): Peeked<A, F> => ({
      age: Duration.millis(Math.max(0, now - entry.storedAt)),
      exit,
      state: isFresh ? "fresh" : "stale",
      timeToLive: isFresh ? Duration.millis(entry.freshUntil - now) : Duration.zero
    }))

  return {
    invalidate: (...args) =>
      calls.with(args, (call): Effect.Effect<boolean, Trouble> =>
        Effect.zipLeft(
          invalidating(call, keyspace.remove(call.key)),
          bounds?.removed(call.key) ?? Effect.void
        )),
    invalidateAll: Effect.suspend(() =>
      Effect.zipLeft(invalidating(undefined, keyspace.clear()), bounds?.cleared ?? Effect.void)
    ),
    keyOf: (...args) => calls.with(args, (call) => Effect.succeed(call.key)),
    peek: (...args) =>
      calls.with(args, (call) =>
        Effect.flatMap(reading.read(call), (known) =>
          withNow((now) => {
            const judgement = reading.judge(known, now)
            return known.entry === undefined || judgement === "none"
              ? Effect.succeedNone
              : Effect.asSome(show(call, known.entry, judgement === "fresh", now))
          }))),
    softInvalidate: (...args) => calls.with(args, (call) => invalidating(call, soften(call)))
  }
}
