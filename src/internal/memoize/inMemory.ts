/**
 * Decoded answers in memory, before the storage. What this process writes they show at once; what another one writes,
 * when they have reached their age.
 *
 * @internal
 */
import type * as Exit from "effect/Exit"
import type { Place } from "./coherence.js"

/** @internal */
export interface Kept<A, E> {
  readonly exit: Exit.Exit<A, E>
  readonly freshUntil: number
  readonly lookupMillis: number
  readonly tagged: boolean
  /** The key in the storage, of which the use is told. */
  readonly storedAs: string
}

interface Held<A, E> {
  readonly kept: Kept<A, E>
  readonly since: number
  readonly until: number
  /** Since it was last looked at to make room. */
  isUsed: boolean
}

/** @internal */
export class InMemory<A, E> {
  private readonly held = new Map<string, Held<A, E>>()
  /** Until when what a transaction has changed is not held: others read what was before, as long as it is open. */
  private readonly quiet = new Map<string, number>()
  private allQuiet = 0
  private changes = 0
  private forgotten = 0

  constructor(private readonly capacity: number, private readonly maxAge: number) {}

  /** A moment, of which is asked later what has changed since. */
  get moment(): number {
    return this.changes
  }

  get(key: string, now: number): Kept<A, E> | undefined {
    const held = this.held.get(key)
    if (held === undefined || now >= held.until || now >= held.kept.freshUntil) return undefined
    held.isUsed = true
    return held.kept
  }

  /** Holds what was read since that moment, or computed, unless something else is known since then. */
  set(key: string, kept: Kept<A, E>, now: number, moment: number): void {
    const isOutdated = this.forgotten > moment || (this.held.get(key)?.since ?? 0) > moment
    if (isOutdated || now < this.allQuiet || now < (this.quiet.get(key) ?? 0)) return
    this.held.delete(key)
    this.held.set(key, { isUsed: false, kept, since: ++this.changes, until: now + this.maxAge })
    if (this.held.size > this.capacity) this.makeRoom()
  }

  /** The oldest goes that was not used; what was used has a second chance, and goes to the end. */
  private makeRoom(): void {
    for (const [key, held] of this.held) {
      this.held.delete(key)
      if (!held.isUsed) return
      held.isUsed = false
      this.held.set(key, held)
    }
  }

  /** Of one key, or of all. */
  forget(key: string | undefined, { isInTransaction, now }: Place): void {
    this.forgotten = ++this.changes
    if (key === undefined) this.held.clear()
    else this.held.delete(key)
    if (!isInTransaction) return
    if (key === undefined) this.allQuiet = now + this.maxAge
    else {
      for (const [other, until] of this.quiet) if (until <= now) this.quiet.delete(other)
      this.quiet.set(key, now + this.maxAge)
    }
  }

  forgetTagged({ isInTransaction, now }: Place): void {
    this.forgotten = ++this.changes
    for (const [key, { kept }] of this.held) if (kept.tagged) this.held.delete(key)
    if (isInTransaction) this.allQuiet = now + this.maxAge
  }
}
