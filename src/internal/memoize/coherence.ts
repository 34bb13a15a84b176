/**
 * What memoised functions on one Storage, in this process, tell each other: what one changes, its namesakes must not
 * have any more in memory, nor wait for.
 *
 * @internal
 */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type { Storage } from "../../Storage.js"
import { clockOf } from "../storage/compat.js"
import { situationOf } from "./situation.js"

/**
 * Where something was changed: what a transaction has changed others do not see yet.
 *
 * @internal
 */
export interface Place {
  readonly isInTransaction: boolean
  readonly now: number
}

/** @internal */
export interface Listener {
  /** An answer was stored. */
  readonly stored: (text: string, place: Place) => void
  /** An answer, or all, were invalidated. */
  readonly invalidated: (call: { readonly key: string; readonly text: string } | undefined, place: Place) => void
  readonly tagsInvalidated: (place: Place) => void
}

const registries = new WeakMap<Storage["Type"], Map<string, Set<Listener>>>()

const registryOf = (storage: Storage["Type"]): Map<string, Set<Listener>> => {
  let registry = registries.get(storage)
  if (registry === undefined) registries.set(storage, registry = new Map())
  return registry
}

/** @internal */
export const listening = (
  storage: Storage["Type"],
  keyspace: string,
  listener: Listener
): Effect.Effect<void, never, Scope.Scope> => {
  const registry = registryOf(storage)
  const namesakes = registry.get(keyspace) ?? new Set()
  return Effect.acquireRelease(
    Effect.sync(() => void registry.set(keyspace, namesakes.add(listener))),
    () => Effect.sync(() => void namesakes.delete(listener))
  )
}

const announcing = (
  listeners: Iterable<Listener>,
  tell: (listener: Listener, place: Place) => void
): Effect.Effect<void> =>
  Effect.withFiberRuntime((fiber) => {
    const place = {
      isInTransaction: situationOf(fiber.currentContext) === "transaction",
      now: clockOf(fiber).unsafeCurrentTimeMillis()
    }
    for (const listener of listeners) tell(listener, place)
    return Effect.void
  })

/**
 * To all but who has stored it, who knows better.
 *
 * @internal
 */
export const announcingStored = (storage: Storage["Type"], keyspace: string, text: string, writer: Listener) =>
  announcing(registryOf(storage).get(keyspace) ?? [], (listener, place) => {
    if (listener !== writer || place.isInTransaction) listener.stored(text, place)
  })

/** @internal */
export const announcingInvalidated = (
  storage: Storage["Type"],
  keyspace: string,
  call: { readonly key: string; readonly text: string } | undefined
) => announcing(registryOf(storage).get(keyspace) ?? [], (listener, place) => listener.invalidated(call, place))

/** @internal */
export const announcingTags = (storage: Storage["Type"]) =>
  announcing(
    Array.from(registryOf(storage).values(), (listeners) => [...listeners]).flat(),
    (listener, place) => listener.tagsInvalidated(place)
  )
