/**
 * A body on its way from the origin: it is handed to the caller first, and stored then. It is stored only if all of it
 * came.
 *
 * @internal
 */
import type { ResponseError } from "@effect/platform/HttpClientError"
import type * as HttpClientResponse from "@effect/platform/HttpClientResponse"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as FiberId from "effect/FiberId"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import type { HttpCacheStore, NewResponse, StoredResponse } from "../../HttpCacheStore.js"
import type { InvalidKey, StorageError } from "../../StorageError.js"
import { outsideTransactions } from "../storage/transactions.js"
import { chunkBytes } from "./chunks.js"
import type { Fetch } from "./fetches.js"
import { Pipe } from "./pipe.js"
import { bodyOf } from "./response.js"

/** How many milliseconds the storage may keep the caller waiting. Then the response is not stored. */
const patience = 2000

/** Why a body is not stored. */
class Broken extends Error {
  constructor(readonly reason: "aborted" | "closed" | "truncated" | "too-large") {
    super(`the body of a response has not come to its end, or is not stored: ${reason}`)
  }
}

/** @internal */
export interface Download {
  readonly fetch: Fetch
  readonly key: string
  /** How long the body is, as the origin says. */
  readonly length: number | undefined
  readonly maxBytes: number
  readonly onEnd: (
    exit: Exit.Exit<Option.Option<StoredResponse>, Broken | ResponseError | StorageError | InvalidKey>
  ) => Effect.Effect<void>
  readonly origin: HttpClientResponse.HttpClientResponse
  readonly response: NewResponse
  readonly store: HttpCacheStore["Type"]
}

type Trouble = Broken | ResponseError | StorageError | InvalidKey

/** Those that nobody reads. What tells of them must not hold them. */
const unread = new FinalizationRegistry<() => void>((abandon) => abandon())

/** A body, and how it is forgotten that nobody has begun to read it. */
interface Downloading {
  readonly abandonWith: (response: object) => void
  readonly stream: Stream.Stream<Uint8Array, unknown>
}

/**
 * Begins a download. It goes on for as long as it is read, or as there is room for what is not. By `running` those that
 * go on are made to store nothing more.
 *
 * @internal
 */
export const download = (
  { fetch, key, length, maxBytes, onEnd, origin, response, store }: Download,
  running: Set<Effect.Effect<unknown>>
): Effect.Effect<Downloading> =>
  Effect.gen(function*() {
    const toCaller = new Pipe<ResponseError | Broken>()
    const toStore = new Pipe<Trouble>(patience)
    fetch.isStalled = () => toCaller.isFull
    const write = (body: Uint8Array | Stream.Stream<Uint8Array, Trouble>) =>
      store.write<Trouble>(key, response, body, { isWanted: () => !fetch.isCancelled })

    /** What there is until it is more than a chunk. */
    let first: Array<Uint8Array> = []
    let bytes = 0
    let writing: Fiber.RuntimeFiber<Option.Option<StoredResponse>, Trouble> | undefined
    /** Whether the cache is closed. The caller has the body all the same. */
    let isDetached = false
    const keep = (piece: Uint8Array): Effect.Effect<void> => {
      bytes += piece.byteLength
      if (isDetached) return Effect.void
      if (bytes > maxBytes) {
        first = []
        toStore.close(Exit.fail(new Broken("too-large")))
        return Effect.void
      }
      if (writing !== undefined) return toStore.put(piece)
      first.push(piece)
      if (bytes <= chunkBytes) return Effect.void
      const before = first
      first = []
      // What has failed takes no more.
      return Effect.forkDaemon(Effect.ensuring(write(toStore.stream), Effect.sync(() => toStore.abandon()))).pipe(
        Effect.flatMap((fiber) => {
          writing = fiber
          return Effect.forEach(before, (part) => toStore.put(part), { discard: true })
        }),
        Effect.uninterruptible
      )
    }
    const received = Stream.runForEach(
      bodyOf(origin),
      (piece) =>
        Effect.suspend(() => {
          // What the caller makes of what it gets is its own affair.
          const own = new Uint8Array(piece)
          return Effect.zipRight(toCaller.put(piece), Effect.suspend(() => keep(own)))
        })
    )
    const stored: Effect.Effect<Option.Option<StoredResponse>, Trouble> = Effect.suspend(() => {
      const broken = isDetached
        ? new Broken("closed")
        : bytes > maxBytes
        ? new Broken("too-large")
        : length !== undefined && length !== bytes
        ? new Broken("truncated")
        : undefined
      toStore.close(broken === undefined ? Exit.void : Exit.fail(broken))
      if (writing !== undefined) return Fiber.join(writing)
      return broken === undefined ? write(Buffer.concat(first)) : Effect.fail(broken)
    })

    const pump: Effect.Effect<void> = Effect.onExit(received, (exit) =>
      Effect.suspend(() => {
        fetch.isComplete = Exit.isSuccess(exit)
        toCaller.close(Exit.isInterrupted(exit) ? Exit.fail(new Broken("aborted")) : exit)
        if (Exit.isFailure(exit)) toStore.close(Exit.fail(new Broken("aborted")))
        return Effect.exit(
          Exit.isSuccess(exit) ? stored : writing === undefined ? Effect.failCause(exit.cause) : Fiber.join(writing)
        )
      }).pipe(
        Effect.flatMap((exit) => {
          const isStored = Exit.isSuccess(exit) && Option.isSome(exit.value)
          fetch.end(isStored ? "stored" : fetch.isComplete ? "unshared" : "abandoned")
          return onEnd(exit)
        })
      )).pipe(Effect.ignore)
    const fiber = yield* Effect.forkDaemon(outsideTransactions(Effect.interruptible(pump)))
    const detach = Effect.suspend(() => {
      isDetached = true
      first = []
      toStore.close(Exit.fail(new Broken("closed")))
      return writing === undefined ? Effect.void : Fiber.await(writing)
    })
    running.add(detach)
    fiber.addObserver(() => void running.delete(detach))

    let isBegun = false
    const token = {}
    const abandon = (): void => {
      toCaller.abandon()
      if (!fetch.isComplete) fiber.unsafeInterruptAsFork(FiberId.none)
    }
    return {
      abandonWith: (owner: object) => void unread.register(owner, abandon, token),
      stream: Stream.suspend(() => {
        unread.unregister(token)
        if (isBegun) return Stream.fail(new Error("the body of a response can be read once; keep what was read"))
        isBegun = true
        return Stream.ensuring(toCaller.stream, Effect.sync(abandon))
      })
    }
  }).pipe(Effect.uninterruptible)

/** @internal */
export const whyBroken = (error: unknown): string | undefined => error instanceof Broken ? error.reason : undefined
