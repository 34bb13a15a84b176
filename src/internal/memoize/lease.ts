/**
 * One process computes at a time: it holds a lease of the key, which ends if it is not renewed, and which nobody else
 * releases.
 *
 * @internal
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Random from "effect/Random"
import { randomUUID } from "node:crypto"
import * as Storage from "../../Storage.js"
import type { StorageError } from "../../StorageError.js"
import { withNow } from "../storage/compat.js"
import { keyOf } from "../store/anyText.js"
import { soundly } from "../store/soundly.js"

const keyspaceName = "memo:leases"

/** Pauses between two looks at a lease that somebody holds, in milliseconds: they grow. */
const shortestPause = 20
const longestPause = 250

/** Not by `Random`: two processes with one seed must not have the same name. */
const newName: Effect.Effect<string> = Effect.sync(() => randomUUID())

/** @internal */
export interface Leases {
  /**
   * Computes, holding the lease of the key, or waits until somebody else has: `found` looks. When it cannot be told who
   * holds it, `onTrouble` decides.
   */
  readonly within: <A, E, X>(
    key: string,
    found: Effect.Effect<Option.Option<A>, E>,
    compute: Effect.Effect<A, E>,
    onTrouble: (error: StorageError) => Effect.Effect<A, X>
  ) => Effect.Effect<A, E | X>
}

/** @internal */
export const open = (
  storage: Storage.Storage["Type"],
  answers: string,
  life: number
): Effect.Effect<Leases, StorageError> =>
  Effect.map(storage.keyspace(keyspaceName), (keyspace): Leases => {
    /** Until when somebody else holds it; undefined if it is ours now. */
    const acquire = (key: string, owner: string) =>
      withNow((now) =>
        soundly(keyspace.modify(key, (entry): readonly [number | undefined, Storage.Change] =>
          Option.isSome(entry)
            ? [entry.value.expiresAt ?? now, Storage.keep]
            : [undefined, Storage.put(owner, now + life)]))
      )
    const ifOwn = (key: string, owner: string, change: Storage.Change) =>
      Effect.ignore(keyspace.modify(key, (entry) => [
        undefined,
        Option.isSome(entry) && entry.value.value === owner ? change : Storage.keep
      ]))
    const renew = (key: string, owner: string) => withNow((now) => ifOwn(key, owner, Storage.put(owner, now + life)))
    const renewing = (key: string, owner: string): Effect.Effect<never> =>
      Effect.forever(Effect.delay(renew(key, owner), Duration.millis(life / 3)))

    const attempt = <A, E, X>(
      key: string,
      owner: string,
      pause: number,
      found: Effect.Effect<Option.Option<A>, E>,
      compute: Effect.Effect<A, E>,
      onTrouble: (error: StorageError) => Effect.Effect<A, X>
    ): Effect.Effect<A, E | X> => {
      const orElse = (next: Effect.Effect<A, E | X>): Effect.Effect<A, E | X> =>
        Effect.flatMap(found, (answer) => Option.isSome(answer) ? Effect.succeed(answer.value) : next)
      const again = (heldUntil: number): Effect.Effect<A, E | X> =>
        Effect.flatMap(Random.next, (random) =>
          withNow((now) => {
            const millis = Math.max(1, Math.min(pause * (0.5 + random), heldUntil - now))
            const next = attempt(key, owner, Math.min(pause * 2, longestPause), found, compute, onTrouble)
            return Effect.zipRight(Effect.sleep(Duration.millis(millis)), orElse(next))
          }))
      return Effect.uninterruptibleMask((restore) =>
        Effect.matchEffect(acquire(key, owner), {
          onFailure: (error) => restore(onTrouble(error)),
          onSuccess: (heldUntil) =>
            heldUntil === undefined
              // Somebody may have had it since it was looked.
              ? Effect.ensuring(
                restore(orElse(Effect.raceFirst(compute, renewing(key, owner)))),
                ifOwn(key, owner, Storage.remove)
              )
              : restore(again(heldUntil))
        })
      )
    }
    return {
      within: (key, found, compute, onTrouble) =>
        Effect.flatMap(newName, (owner) =>
          attempt(`${key} ${keyOf(answers)}`, owner, shortestPause, found, compute, onTrouble))
    }
  })
