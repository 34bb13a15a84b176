/**
 * What can be done to stored answers by hand.
 *
 * @internal
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type { Controls, Peeked, Trouble } from "../../Memoize.js"
import * as Storage from "../../Storage.js"
import { withNow } from "../storage/compat.js"
import type { Call } from "./calls.js"
import { type Entry, print, tombstone } from "./entry.js"
import { forgetting } from "./inMemory.js"
import type { Parts } from "./parts.js"
import { entryOf, type Reading } from "./reading.js"
import { soundly } from "./soundly.js"
import { word } from "./word.js"

/** How long an invalidation is remembered, for what was being computed when it came, in milliseconds. */
const remembered = 300_000

/** What an invalidation makes of a stored answer. */
type Invalidation = (
  found: Entry | undefined,
  expiresAt: number | undefined,
  mark: string,
  now: number
) => Storage.Change

const bury: Invalidation = (_found, _expiresAt, mark, now) => Storage.put(print(tombstone(mark, now)), now + remembered)

const soften: Invalidation = (found, expiresAt, mark, now) =>
  found === undefined
    ? bury(found, expiresAt, mark, now)
    : Storage.put(print({ ...found, freshUntil: Math.min(found.freshUntil, now), mark }), expiresAt)

/**
 * `supersede` has calls of a key, or of all, start anew.
 *
 * @internal
 */
export const makeControls = <Args extends ReadonlyArray<unknown>, A, F>(
  { bounds, calls, keyspace, storage }: Parts<Args, A, F>,
  reading: Reading<Args, A, F>,
  supersede: (call: Call<Args> | undefined) => void
): Controls<Args, A, F> => {
  const forget = (call: Call<Args> | undefined) => forgetting(storage, keyspace.name, call?.text)

  /** Changes what is stored, and has what is being computed not be stored; tells whether there was an answer. */
  const invalidating = (args: Args, change: Invalidation): Effect.Effect<boolean, Trouble> =>
    calls.with(args, (call) =>
      Effect.flatMap(word, (mark) =>
        withNow((now) => {
          supersede(call)
          const changed = soundly(keyspace.modify(call.key, (stored) => {
            const entry = entryOf(stored)
            const found = entry?.kind === "none" ? undefined : entry
            const expiresAt = Option.getOrUndefined(stored)?.expiresAt
            return [found !== undefined, change(found, expiresAt, mark, now)]
          }))
          // What is read meanwhile is forgotten, too.
          return Effect.zipRight(forget(call), Effect.ensuring(changed, forget(call)))
        })))

  const show = (call: Call<Args>, entry: Entry, isFresh: boolean, now: number) =>
    Effect.map(reading.decode(call, entry), (exit): Peeked<A, F> => ({
      age: Duration.millis(Math.max(0, now - entry.storedAt)),
      exit,
      state: isFresh ? "fresh" : "stale",
      timeToLive: isFresh ? Duration.millis(entry.freshUntil - now) : Duration.zero
    }))

  return {
    invalidate: (...args) => invalidating(args, bury),
    invalidateAll: Effect.suspend(() => {
      supersede(undefined)
      const cleared = Effect.zipLeft(soundly(keyspace.clear()), bounds?.cleared ?? Effect.void)
      return Effect.zipRight(forget(undefined), Effect.ensuring(cleared, forget(undefined)))
    }),
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
    softInvalidate: (...args) => invalidating(args, soften)
  }
}
