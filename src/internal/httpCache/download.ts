/**
 * A body on its way from the origin: it is handed to the caller first, and stored then. It is stored only if all of it
 * came.
 *
 * @internal
 */
import type { ResponseError } from "@effect/platform/HttpClientError"
import type * as HttpClientResponse from "@effect/platform/HttpClientResponse"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as FiberId from "effect/FiberId"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import type { HttpCacheStore, NewResponse, StoredResponse } from "../../HttpCacheStore.js"
import type { InvalidKey, StorageError } from "../../StorageError.js"
import { nextTurn, onNextTurn } from "../storage/compat.js"
import { outsideTransactions } from "../storage/transactions.js"
import { chunkBytes } from "./chunks.js"
import type { Fetch } from "./fetches.js"
import { Pipe } from "./pipe.js"
import { bodyOf, collectedOf, type Source } from "./response.js"

/** How many milliseconds the storage may keep the caller waiting. Then the response is not stored. */
const patience = 2000

/** Why a body is not stored. */
class Broken extends Error {
  constructor(readonly reason: "aborted" | "closed" | "storage" | "truncated" | "too-large") {
    super(`the body of a response has not come to its end, or is not stored: ${reason}`)
  }
}

/** @internal */
export const whyBroken = (error: unknown): string | undefined => error instanceof Broken ? error.reason : undefined

type Trouble = Broken | ResponseError | StorageError | InvalidKey

/** @internal */
export interface Download {
  readonly fetch: Fetch
  readonly key: string
  /** How long the body is, as the origin says. */
  readonly length: number | undefined
  readonly maxBytes: number
  readonly onEnd: (exit: Exit.Exit<Option.Option<StoredResponse>, Trouble>) => Effect.Effect<void>
  readonly origin: HttpClientResponse.HttpClientResponse
  readonly response: NewResponse
  readonly store: HttpCacheStore["Type"]
}

/** A body, and how it is noticed that nobody reads it any more who has not begun to. */
interface Downloading {
  readonly abandonWith: (response: object) => void
  readonly source: Source
}

/** Those that nobody reads. What tells of them must not hold them. */
const unread = new FinalizationRegistry<() => void>((abandon) => abandon())

const piecesOf = (bytes: Uint8Array): Stream.Stream<Uint8Array> =>
  Stream.unfold(0, (at) =>
    at < bytes.byteLength
      ? Option.some([bytes.subarray(at, at + chunkBytes), at + chunkBytes] as const)
      : Option.none())

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
  Effect.suspend(() => {
    // Who reads slowly, or not at all, keeps nobody else waiting.
    const toCaller = new Pipe<ResponseError | Broken>(Infinity, () => fetch.release("unshared"))
    const toStore = new Pipe<Trouble>(patience)
    const write = (body: Uint8Array | Stream.Stream<Uint8Array, Trouble>) =>
      store.write<Trouble>(key, response, body, { isWanted: () => !fetch.isCancelled && !toStore.isAbandoned })

    /** Whether the cache is closed. The caller has the body all the same. */
    let isDetached = false
    let bytes = 0
    const brokenBy = (): Broken | undefined =>
      isDetached
        ? new Broken("closed")
        // It was waited for too long, or has failed: what it has is not all.
        : toStore.isAbandoned
        ? new Broken("storage")
        : bytes > maxBytes
        ? new Broken("too-large")
        : length !== undefined && length !== bytes
        ? new Broken("truncated")
        : undefined

    // --- As a stream ---

    /** What there is until it is more than a chunk. */
    let first: Array<Uint8Array> = []
    let writing: Fiber.RuntimeFiber<Option.Option<StoredResponse>, Trouble> | undefined
    const keep = (piece: Uint8Array): Effect.Effect<void> => {
      bytes += piece.byteLength
      if (isDetached) return Effect.void
      if (bytes > maxBytes) {
        first = []
        fetch.release("unshared")
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
    const streamed: Effect.Effect<void, ResponseError> = Stream.runForEach(
      bodyOf(origin),
      (piece) =>
        Effect.suspend(() => {
          fetch.progress++
          // What the caller makes of what it gets is its own affair.
          const own = new Uint8Array(piece)
          return Effect.zipRight(toCaller.put(piece), Effect.suspend(() => keep(own)))
        })
    )
    const storedStream: Effect.Effect<Option.Option<StoredResponse>, Trouble> = Effect.suspend(() => {
      const broken = brokenBy()
      toStore.close(broken === undefined ? Exit.void : Exit.fail(broken))
      if (writing !== undefined) return Fiber.join(writing)
      return broken === undefined ? write(Buffer.concat(first)) : Effect.fail(broken)
    })

    // --- As a whole, for a caller who wants that ---

    let own: Uint8Array | undefined
    const whole = Deferred.unsafeMake<Uint8Array, ResponseError | Broken>(FiberId.none)
    const collected: Effect.Effect<void, ResponseError> = Effect.map(origin.arrayBuffer, (buffer) => {
      bytes = buffer.byteLength
      // Nobody is given these bytes themselves: what is made of them is text, or a copy.
      const all = new Uint8Array(buffer)
      if (bytes <= maxBytes) own = all
      Deferred.unsafeDone(whole, Exit.succeed(all))
    })
    const storedWhole: Effect.Effect<Option.Option<StoredResponse>, Trouble> = Effect.suspend(() => {
      const broken = brokenBy()
      if (broken !== undefined || own === undefined) return Effect.fail(broken ?? new Broken("too-large"))
      return write(own.byteLength <= chunkBytes ? own : piecesOf(own))
    })

    // --- Which of them ---

    let begun: "stream" | "whole" | undefined
    let onBegin: (() => void) | undefined
    const begin = (how: "stream" | "whole"): boolean => {
      if (begun !== undefined) return false
      begun = how
      fetch.isWhole = how === "whole"
      onBegin?.()
      return true
    }
    const beginning = Effect.async<void>((resume) => {
      if (begun !== undefined) return resume(Effect.void)
      onBegin = () => resume(Effect.void)
      // Most callers say at once what they want. Who does not may want to read it later, and others may wait for it.
      onNextTurn(() => begin("stream"))
    })
    const received = Effect.zipRight(
      beginning,
      Effect.suspend(() => begun === "whole" ? collected : streamed)
    )
    const pump: Effect.Effect<void> = Effect.onExit(Effect.interruptible(received), (exit) =>
      Effect.suspend(() => {
        fetch.isComplete = true
        const forCaller: Exit.Exit<void, ResponseError | Broken> = Exit.isInterrupted(exit)
          ? Exit.fail(new Broken("aborted"))
          : exit
        toCaller.close(forCaller)
        if (Exit.isFailure(forCaller)) Deferred.unsafeDone(whole, Exit.failCause(forCaller.cause))
        if (Exit.isFailure(exit)) {
          toStore.close(Exit.fail(new Broken("aborted")))
          return Effect.exit(writing === undefined ? Effect.failCause(exit.cause) : Fiber.join(writing))
        }
        // The caller first: it has the end of the body before that is stored.
        return Effect.zipRight(nextTurn, Effect.exit(begun === "whole" ? storedWhole : storedStream))
      }).pipe(
        Effect.flatMap((done) => {
          const isStored = Exit.isSuccess(done) && Option.isSome(done.value)
          // Who has left says nothing of the response; what the origin has broken off is not tried by one after the other.
          fetch.end(isStored ? "stored" : Exit.isInterrupted(exit) ? "abandoned" : "unshared")
          return onEnd(done)
        })
      )).pipe(Effect.ignore)

    return Effect.map(Effect.forkDaemon(outsideTransactions(pump)), (fiber): Downloading => {
      const token = {}
      const abandon = (): void => {
        toCaller.abandon()
        if (!fetch.isComplete) fiber.unsafeInterruptAsFork(FiberId.none)
      }
      let isRead = false
      const detach = Effect.suspend(() => {
        isDetached = true
        // Nobody has begun to read it, and who closes the cache does not wait for that.
        if (!isRead) abandon()
        first = []
        toStore.close(Exit.fail(new Broken("closed")))
        return writing === undefined ? Effect.void : Fiber.await(writing)
      })
      running.add(detach)
      fiber.addObserver(() => void running.delete(detach))

      const reading = <A, E>(self: () => A, otherwise: (error: Error) => E): A | E => {
        unread.unregister(token)
        if (isRead) return otherwise(new Error("the body of a response can be read once; keep what was read"))
        isRead = true
        return self()
      }
      const stream = (): Stream.Stream<Uint8Array, unknown> => {
        begin("stream")
        return Stream.ensuring(toCaller.stream, Effect.sync(abandon))
      }
      return {
        abandonWith: (owner: object) => void unread.register(owner, abandon, token),
        source: {
          collect: Effect.suspend(() =>
            reading(
              (): Effect.Effect<Uint8Array, unknown> => {
                if (!begin("whole")) return collectedOf(stream())
                return Effect.onInterrupt(Deferred.await(whole), () => Effect.sync(abandon))
              },
              Effect.fail
            )
          ),
          stream: Stream.suspend(() => reading(stream, Stream.fail)),
          whole: undefined
        }
      }
    })
  }).pipe(Effect.uninterruptible)
