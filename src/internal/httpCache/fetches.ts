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
import { inTransaction, outsideTransactions } from "../storage/transactions.js"

/**
 * What has become of it: it is stored; it is not, and others would not be served by it; or it came to no end.
 *
 * @internal
 */
export type Outcome = "stored" | "unshared" | "abandoned"

/** How long others wait for a response to begin, in milliseconds, and for more of a body that does not come. */
const patience = { beginning: 10_000, body: 2000 }
/** How long a request waits for what is all there to be stored. */
const longestStoring = 1000

/** @internal */
export class Fetch {
  private isOutdated = false
  private isOver = false
  /** The tags of which all was deleted since it began. */
  private readonly deletedTags = new Set<string>()
  /** All that comes has come, and is being stored, or what was stored of it is cleared. */
  isComplete = false
  /** Rises when the response comes, and with each piece of its body. */
  progress = 0
  /** Its body comes in one piece, of which nothing is seen before its end. */
  isWhole = false
  private readonly done = Deferred.unsafeMake<Outcome>(FiberId.none)
  private readonly doneForOthers = Deferred.unsafeMake<Outcome>(FiberId.none)

  constructor(
    /** Where it is stored. */
    public key: string,
    readonly url: string,
    /** Those of the request, and when it has come those of the response. */
    public tags: ReadonlyArray<string>,
    private readonly onDone: (fetch: Fetch, isOver: boolean) => void
  ) {}

  /** What was asked for before does not count any more, nor what comes when it is over: nobody could cancel that. */
  get isCancelled(): boolean {
    return this.isOutdated || this.isOver || this.tags.some((tag) => this.deletedTags.has(tag))
  }

  cancel(): void {
    this.isOutdated = true
  }

  cancelTag(tag: string): void {
    this.deletedTags.add(tag)
  }

  end(outcome: Outcome): void {
    this.isOver = true
    this.release(outcome)
    this.onDone(this, true)
    Deferred.unsafeDone(this.done, Exit.succeed(outcome))
  }

  /** Others wait no more, though it goes on. */
  release(outcome: Outcome): void {
    this.onDone(this, false)
    Deferred.unsafeDone(this.doneForOthers, Exit.succeed(outcome))
  }

  get outcome(): Effect.Effect<Outcome> {
    return Deferred.await(this.done)
  }

  /** The outcome, unless nothing moves: who hangs must not keep others from trying. */
  get outcomeForOthers(): Effect.Effect<Outcome> {
    const stalled = (progress: number, wasComplete: boolean): Effect.Effect<Outcome> =>
      Effect.flatMap(
        waitFor(!wasComplete && (progress === 0 || this.isWhole) ? patience.beginning : patience.body),
        () =>
          this.progress === progress && this.isComplete === wasComplete
            ? Effect.succeed("unshared")
            : stalled(this.progress, this.isComplete)
      )
    const moving = Effect.suspend(() => stalled(this.progress, this.isComplete))
    return Effect.raceFirst(Deferred.await(this.doneForOthers), moving)
  }
}

/** @internal */
export class Fetches {
  private readonly all = new Set<Fetch>()
  /** Those that others may wait for. */
  private readonly shared = new Map<string, Fetch>()
  /** What is under way to be deleted. */
  private readonly deletions = new Set<Deferred.Deferred<void>>()

  /** `sharedAs` names what is asked for, if others may wait for it. */
  begin(key: string, url: string, tags: ReadonlyArray<string>, sharedAs: string | undefined): Fetch {
    const fetch = new Fetch(key, url, tags, (ended, isOver) => {
      if (isOver) this.all.delete(ended)
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
   * Waits until what is all there is stored. In a transaction it does not: what is being stored may wait for that.
   */
  get settled(): Effect.Effect<void> {
    return this.stored(() => true)
  }

  /** The same for a URL. */
  settledAt(url: string): Effect.Effect<void> {
    return this.stored((fetch) => fetch.url === url)
  }

  /**
   * The same for what is stored under a key, or of URLs that begin so; for no longer than a request can wait for a storage
   * that is stuck.
   */
  settledFor(key: string, beginning?: string): Effect.Effect<void> {
    if (this.all.size === 0 && this.deletions.size === 0) return Effect.void
    const isMeant = ({ key: own, url }: Fetch): boolean =>
      own === key || (beginning !== undefined && url.startsWith(beginning))
    const all = Effect.zipRight(this.stored(isMeant), this.deleted)
    return Effect.raceFirst(all, Effect.asVoid(waitFor(longestStoring)))
  }

  /** Deletes behind the one who asks for it, outside of the transaction in which that may be. Requests wait for it. */
  deleting(self: Effect.Effect<void>): Effect.Effect<void> {
    return Effect.suspend(() => {
      const done = Deferred.unsafeMake<void>(FiberId.none)
      this.deletions.add(done)
      const over = Effect.sync(() => {
        this.deletions.delete(done)
        Deferred.unsafeDone(done, Exit.void)
      })
      return Effect.asVoid(Effect.forkDaemon(outsideTransactions(Effect.ensuring(self, over))))
    })
  }

  private get deleted(): Effect.Effect<void> {
    return Effect.withFiberRuntime((fiber) =>
      inTransaction(fiber.currentContext)
        ? Effect.void
        : Effect.forEach([...this.deletions], Deferred.await, { discard: true })
    )
  }

  private stored(isMeant: (fetch: Fetch) => boolean): Effect.Effect<void> {
    return Effect.withFiberRuntime((fiber) => {
      if (this.all.size === 0 || inTransaction(fiber.currentContext)) return Effect.void
      const complete = [...this.all].filter((fetch) => fetch.isComplete && isMeant(fetch))
      return Effect.forEach(complete, (fetch) => fetch.outcome, { discard: true })
    })
  }
}
