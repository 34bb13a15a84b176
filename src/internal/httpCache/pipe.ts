/**
 * A pipe between two fibers: one puts bytes in, the other takes them out. The one waits when the other is behind.
 *
 * @internal
 */
import * as Chunk from "effect/Chunk"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as FiberId from "effect/FiberId"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import { waitFor } from "../storage/compat.js"

/** How far who takes may be behind. */
const mostBytes = 1024 * 1024
/** For how many milliseconds who takes may be behind until it counts as slow. */
const slowness = 300

/** @internal */
export class Pipe<E> {
  private pieces: Array<Uint8Array> = []
  private bytes = 0
  private end: Exit.Exit<void, E> | undefined
  private onPut: Deferred.Deferred<void> | undefined
  private readonly onTake = new Set<() => void>()
  /** Whether nobody takes any more. */
  isAbandoned = false

  /**
   * How many milliseconds who puts waits for who takes; then it is as if that one were gone. `onSlow` is called when it is
   * waited for that is worth telling.
   */
  constructor(private readonly patience = Infinity, private readonly onSlow: () => void = () => undefined) {}

  /** Whether who takes is so far behind that it is waited for. */
  private get isFull(): boolean {
    return this.bytes >= mostBytes
  }

  put(piece: Uint8Array): Effect.Effect<void> {
    return Effect.suspend(() => {
      if (this.isAbandoned || this.end !== undefined) return Effect.void
      this.pieces.push(piece)
      this.bytes += piece.byteLength
      this.wakeTaker()
      return this.isFull ? this.room : Effect.void
    })
  }

  /** Nothing comes any more. */
  close(exit: Exit.Exit<void, E>): void {
    this.end ??= exit
    this.wakeTaker()
  }

  /** Nobody takes any more. */
  abandon(): void {
    this.isAbandoned = true
    this.pieces = []
    this.bytes = 0
    this.wakePutter()
  }

  /** What is put in; once. */
  get stream(): Stream.Stream<Uint8Array, E> {
    return Stream.repeatEffectChunkOption(this.taken)
  }

  private get taken(): Effect.Effect<Chunk.Chunk<Uint8Array>, Option.Option<E>> {
    return Effect.suspend(() => {
      if (this.pieces.length > 0) {
        const { pieces } = this
        this.pieces = []
        this.bytes = 0
        this.wakePutter()
        return Effect.succeed(Chunk.unsafeFromArray(pieces))
      }
      if (this.end !== undefined) {
        return Exit.isSuccess(this.end)
          ? Effect.fail(Option.none())
          : Effect.mapError(Effect.failCause(this.end.cause), Option.some)
      }
      this.onPut = Deferred.unsafeMake<void>(FiberId.none)
      return Effect.zipRight(Deferred.await(this.onPut), this.taken)
    })
  }

  private get room(): Effect.Effect<void> {
    const onTaken = (done: () => void): void => void this.onTake.add(done)
    return Effect.flatMap(waitFor(slowness, onTaken), (isTaken) => {
      if (isTaken) return Effect.void
      this.onSlow()
      return this.patience === Infinity
        ? Effect.async<void>((resume) => onTaken(() => resume(Effect.void)))
        : Effect.flatMap(
          waitFor(this.patience - slowness, onTaken),
          (isTakenThen) => isTakenThen ? Effect.void : Effect.sync(() => this.abandon())
        )
    })
  }

  private wakeTaker(): void {
    const { onPut } = this
    this.onPut = undefined
    if (onPut !== undefined) Deferred.unsafeDone(onPut, Exit.void)
  }

  private wakePutter(): void {
    for (const wake of this.onTake) wake()
    this.onTake.clear()
  }
}
