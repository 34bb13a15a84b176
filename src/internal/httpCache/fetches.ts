/**
 * What is being fetched for the cache: who asks for the same waits for it, and what is invalidated meanwhile is not
 * stored.
 *
 * @internal
 */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as FiberId from "effect/FiberId"
import { waitFor } from "../storage/compat.js"
import { inTransaction } from "../storage/transactions.js"

/**
 * What has become of it: it is stored; it is not, and others would not be served by it; or it came to no end.
 *
 * @internal
 */
export type Outcome = "stored" | "unshared" | "abandoned"

/** How long who asks for the same waits for somebody who does not read. */
const patience = 1000

/** @internal */
export class Fetch {
  private isOutdated = false
  /** The tags of which all was deleted since it began. */
  private readonly deletedTags = new Set<string>()
  /** All is there, and is being stored. */
  isComplete = false
  /** Whether the one who reads it is behind. */
  isStalled: () => boolean = () => false
  private readonly done = Deferred.unsafeMake<Outcome>(FiberId.none)

  constructor(
    /** Where it is stored. */
    public key: string,
    readonly url: string,
    /** Those of the request, and when it has come those of the response. */
    public tags: ReadonlyArray<string>,
    private readonly onDone: (fetch: Fetch) => void
  ) {}

  /** What was asked for before does not count any more. */
  get isCancelled(): boolean {
    return this.isOutdated || this.tags.some((tag) => this.deletedTags.has(tag))
  }

  cancel(): void {
    this.isOutdated = true
  }

  cancelTag(tag: string): void {
    this.deletedTags.add(tag)
  }

  end(outcome: Outcome): void {
    this.onDone(this)
    Deferred.unsafeDone(this.done, Exit.succeed(outcome))
  }

  get outcome(): Effect.Effect<Outcome> {
    return Deferred.await(this.done)
  }

  /** The outcome, unless whoever reads the response keeps others waiting. */
  get outcomeForOthers(): Effect.Effect<Outcome> {
    const stalled: Effect.Effect<Outcome> = Effect.flatMap(
      waitFor(patience),
      () => this.isStalled() ? Effect.succeed("unshared") : stalled
    )
    return Effect.raceFirst(this.outcome, stalled)
  }
}

/** @internal */
export class Fetches {
  private readonly all = new Set<Fetch>()
  /** Those that others may wait for. */
  private readonly shared = new Map<string, Fetch>()

  /** `sharedAs` names what is asked for, if others may wait for it. */
  begin(key: string, url: string, tags: ReadonlyArray<string>, sharedAs: string | undefined): Fetch {
    const fetch = new Fetch(key, url, tags, (ended) => {
      this.all.delete(ended)
      if (sharedAs !== undefined && this.shared.get(sharedAs) === ended) this.shared.delete(sharedAs)
    })
    this.all.add(fetch)
    if (sharedAs !== undefined) this.shared.set(sharedAs, fetch)
    return fetch
  }

  of(sharedAs: string): Fetch | undefined {
    const fetch = this.shared.get(sharedAs)
    return fetch?.isCancelled === true ? undefined : fetch
  }

  cancel(isMeant: (fetch: Fetch) => boolean): void {
    for (const fetch of this.all) if (isMeant(fetch)) fetch.cancel()
  }

  cancelTag(tag: string): void {
    for (const fetch of this.all) fetch.cancelTag(tag)
  }

  /**
   * Waits until all is stored that is there, of a key or of all. In a transaction it does not: what is being stored may
   * wait for that.
   */
  settled(key?: string): Effect.Effect<void> {
    return Effect.withFiberRuntime((fiber) => {
      if (this.all.size === 0 || inTransaction(fiber.currentContext)) return Effect.void
      const complete = [...this.all].filter((fetch) => fetch.isComplete && (key === undefined || fetch.key === key))
      if (complete.length === 0) return Effect.void
      const all = Effect.forEach(complete, (fetch) => fetch.outcome, { discard: true })
      // A request does not wait for a storage that is stuck.
      return key === undefined ? all : Effect.raceFirst(all, Effect.asVoid(waitFor(patience)))
    })
  }
}
