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
import { afterCommit } from "../storage/service.js"
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
): Effect.Effect<void, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.sync(() => {
      const registry = registryOf(storage)
      registry.set(keyspace, (registry.get(keyspace) ?? new Set()).add(listener))
    }),
    () =>
      Effect.sync(() => {
        const registry = registryOf(storage)
        const namesakes = registry.get(keyspace)
        namesakes?.delete(listener)
        if (namesakes?.size === 0) registry.delete(keyspace)
      })
  )

/** At once; what was changed in a transaction again when it is committed, if that is heard of. */
const announcing = (
  storage: Storage["Type"],
  listeners: () => Iterable<Listener>,
  tell: (listener: Listener, place: Place) => void
): Effect.Effect<void> =>
  Effect.withFiberRuntime((fiber) => {
    const now = clockOf(fiber).unsafeCurrentTimeMillis()
    const isInTransaction = situationOf(fiber.currentContext) === "transaction"
    const tellAll = (isInTransaction: boolean): void => {
      for (const listener of listeners()) tell(listener, { isInTransaction, now })
    }
    tellAll(isInTransaction)
    return isInTransaction ? afterCommit(storage, () => tellAll(false)) : Effect.void
  })

/**
 * That something else is stored than before: to all but who has it in memory itself.
 *
 * @internal
 */
export const announcingStored = (
  storage: Storage["Type"],
  keyspace: string,
  text: string,
  writer: Listener | undefined
) =>
  announcing(storage, () => registryOf(storage).get(keyspace) ?? [], (listener, place) => {
    if (listener !== writer || place.isInTransaction) listener.stored(text, place)
  })

/** @internal */
export const announcingInvalidated = (
  storage: Storage["Type"],
  keyspace: string,
  call: { readonly key: string; readonly text: string } | undefined
) =>
  announcing(
    storage,
    () => registryOf(storage).get(keyspace) ?? [],
    (listener, place) => listener.invalidated(call, place)
  )

/** @internal */
export const announcingTags = (storage: Storage["Type"]) =>
  announcing(
    storage,
    () => Array.from(registryOf(storage).values(), (listeners) => [...listeners]).flat(),
    (listener, place) => listener.tagsInvalidated(place)
  )
