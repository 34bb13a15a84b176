/**
 * Decoded answers in memory, before the storage. What this process writes they show at once; what another one writes,
 * when they have reached their age.
 *
 * @internal
 */
import * as Effect from "effect/Effect"
import type * as Exit from "effect/Exit"
import type * as Scope from "effect/Scope"
import type { Storage } from "../../Storage.js"
import { clockOf } from "../storage/compat.js"
import { situationOf } from "./situation.js"

/** @internal */
export interface Kept<A, E> {
  readonly exit: Exit.Exit<A, E>
  readonly freshUntil: number
  readonly lookupMillis: number
  readonly storedAt: number
  readonly tagged: boolean
  /** The key in the storage, of which the use is told. */
  readonly storedAs: string
}

interface Held<A, E> {
  readonly kept: Kept<A, E>
  readonly until: number
}

/** @internal */
export class InMemory<A, E> {
  private readonly held = new Map<string, Held<A, E>>()
  /** Until when what a transaction has changed is not held: others read what was before, as long as it is open. */
  private readonly quiet = new Map<string, number>()
  private allQuiet = 0
  /** Changes with what is forgotten: what was read before must not be held. */
  generation = 0

  constructor(private readonly capacity: number, private readonly maxAge: number) {}

  get(key: string, now: number): Kept<A, E> | undefined {
    const held = this.held.get(key)
    if (held === undefined) return undefined
    this.held.delete(key)
    if (now >= held.until || now >= held.kept.freshUntil) return undefined
    // The last one is the one that was used last.
    this.held.set(key, held)
    return held.kept
  }

  /** Holds what was read, or written, since that generation. */
  set(key: string, kept: Kept<A, E>, now: number, generation: number): void {
    if (generation !== this.generation || now < this.allQuiet || now < (this.quiet.get(key) ?? 0)) return
    const before = this.held.get(key)
    if (before !== undefined && before.kept.storedAt > kept.storedAt) return
    this.held.delete(key)
    this.held.set(key, { kept, until: now + this.maxAge })
    if (this.held.size <= this.capacity) return
    for (const oldest of this.held.keys()) {
      this.held.delete(oldest)
      return
    }
  }

  /** Of one key, or of all. */
  forget(key: string | undefined, now: number, isInTransaction: boolean): void {
    this.generation++
    if (key === undefined) this.held.clear()
    else this.held.delete(key)
    if (!isInTransaction) return
    if (key === undefined) this.allQuiet = now + this.maxAge
    else {
      for (const [other, until] of this.quiet) if (until <= now) this.quiet.delete(other)
      this.quiet.set(key, now + this.maxAge)
    }
  }

  forgetTagged(now: number, isInTransaction: boolean): void {
    this.generation++
    for (const [key, { kept }] of this.held) if (kept.tagged) this.held.delete(key)
    if (isInTransaction) this.allQuiet = now + this.maxAge
  }
}

type Forgetful = Pick<InMemory<never, never>, "forget" | "forgetTagged">

/** All there are over a Storage, by keyspace: what changes one changes its namesakes. */
const registries = new WeakMap<Storage["Type"], Map<string, Set<Forgetful>>>()

const registryOf = (storage: Storage["Type"]): Map<string, Set<Forgetful>> => {
  let registry = registries.get(storage)
  if (registry === undefined) registries.set(storage, registry = new Map())
  return registry
}

/** @internal */
export const register = (
  storage: Storage["Type"],
  keyspace: string,
  memory: Forgetful
): Effect.Effect<void, never, Scope.Scope> => {
  const registry = registryOf(storage)
  const namesakes = registry.get(keyspace) ?? new Set()
  return Effect.acquireRelease(
    Effect.sync(() => {
      registry.set(keyspace, namesakes.add(memory))
    }),
    () => Effect.sync(() => void namesakes.delete(memory))
  )
}

const withPlace = (use: (now: number, isInTransaction: boolean) => void): Effect.Effect<void> =>
  Effect.withFiberRuntime((fiber) => {
    use(clockOf(fiber).unsafeCurrentTimeMillis(), situationOf(fiber.currentContext) === "transaction")
    return Effect.void
  })

/**
 * Of one key, or of all; but not in the memory of whoever has written it, who knows better.
 *
 * @internal
 */
export const forgetting = (
  storage: Storage["Type"],
  keyspace: string,
  key: string | undefined,
  writer?: Forgetful
): Effect.Effect<void> =>
  withPlace((now, isInTransaction) => {
    for (const memory of registryOf(storage).get(keyspace) ?? []) {
      if (memory !== writer || isInTransaction) memory.forget(key, now, isInTransaction)
    }
  })

/** @internal */
export const forgettingTagged = (storage: Storage["Type"]): Effect.Effect<void> =>
  withPlace((now, isInTransaction) => {
    for (const memories of registryOf(storage).values()) {
      for (const memory of memories) memory.forgetTagged(now, isInTransaction)
    }
  })
