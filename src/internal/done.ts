/**
 * Effects that may be done already. Codecs and schemas that need no asynchronous work give an `Exit` or an `Either`,
 * which is used at once, without the cost of an effect.
 *
 * @internal
 */
import * as Channel from "effect/Channel"
import * as Chunk from "effect/Chunk"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Exit from "effect/Exit"
import type { ParseIssue } from "effect/ParseResult"
import * as Stream from "effect/Stream"

/** @internal */
export const isDone = <A, E, R>(self: Effect.Effect<A, E, R>): self is Effect.Effect<A, E, R> & Exit.Exit<A, E> =>
  Exit.isExit(self)

/** @internal */
export const andThen = <A, E, R, B, E2, R2>(
  self: Effect.Effect<A, E, R>,
  f: (value: A) => Effect.Effect<B, E2, R2>
): Effect.Effect<B, E | E2, R | R2> =>
  isDone(self)
    ? Exit.isSuccess(self) ? f(self.value) : Exit.failCause(self.cause)
    : Effect.flatMap(self, f)

/**
 * Stands for what is to be left out.
 *
 * @internal
 */
export const missed = Symbol("effect-kv/missed")

/**
 * `andThen` for many.
 *
 * @internal
 */
export const forEach = <A, B, E>(
  items: Iterable<A>,
  f: (item: A) => Effect.Effect<B | typeof missed, E>
): Effect.Effect<Array<B>, E> => {
  const out: Array<B> = []
  const add = (value: B | typeof missed) => {
    if (value !== missed) out.push(value)
  }
  const rest: Array<Effect.Effect<B | typeof missed, E>> = []
  for (const item of items) {
    const result = f(item)
    if (rest.length > 0 || !isDone(result)) rest.push(result)
    else if (Exit.isSuccess(result)) add(result.value)
    else return Exit.failCause(result.cause)
  }
  if (rest.length === 0) return Exit.succeed(out)
  return Effect.map(Effect.all(rest), (more) => {
    more.forEach(add)
    return out
  })
}

/**
 * `Stream.mapEffect` that takes chunks as they come, where effects are done already. What comes before a failure is given
 * out before it.
 *
 * @internal
 */
export const mapStream = <A, E, B, E2>(
  self: Stream.Stream<A, E>,
  f: (item: A) => Effect.Effect<B, E2>
): Stream.Stream<B, E | E2> =>
  byChunks(self, (chunk, more) => {
    const write = (start: number): Writing<A, B, E, E2> => {
      const out: Array<B> = []
      for (let i = start; i < chunk.length; i++) {
        const result = f(Chunk.unsafeGet(chunk, i))
        if (isDone(result) && Exit.isSuccess(result)) out.push(result.value)
        else {
          const one = Channel.flatMap(Channel.fromEffect(result), (value) => Channel.write(Chunk.of(value)))
          return Channel.zipRight(
            Channel.zipRight(Channel.write(Chunk.unsafeFromArray(out)), one),
            Channel.suspend(() => write(i + 1))
          )
        }
      }
      return Channel.zipRight(Channel.write(Chunk.unsafeFromArray(out)), more)
    }
    return write(0)
  })

/**
 * The items of a stream one by one, of each of which `f` makes something when it is asked for.
 *
 * @internal
 */
export const oneByOne = <A, E, B>(self: Stream.Stream<A, E>, f: (item: A) => B): Stream.Stream<B, E> =>
  byChunks<A, E, B, never>(self, (chunk, more) => {
    const write = (i: number): Writing<A, B, E, never> =>
      i >= chunk.length
        ? more
        : Channel.flatMap(
          Channel.suspend(() => Channel.write(Chunk.of(f(Chunk.unsafeGet(chunk, i))))),
          () => write(i + 1)
        )
    return write(0)
  })

type Writing<A, B, E, E2> = Channel.Channel<Chunk.Chunk<B>, Chunk.Chunk<A>, E | E2, E, unknown, unknown>

/** A stream of what is written for each chunk of another. A channel costs less than an effect for each. */
const byChunks = <A, E, B, E2>(
  self: Stream.Stream<A, E>,
  write: (
    chunk: Chunk.Chunk<A>,
    more: Writing<A, B, E, E2>
  ) => Writing<A, B, E, E2>
): Stream.Stream<B, E | E2> => {
  const more: Writing<A, B, E, E2> = Channel.readWithCause({
    onDone: Channel.succeed,
    onFailure: Channel.failCause,
    onInput: (chunk: Chunk.Chunk<A>) => write(chunk, more)
  })
  return Stream.fromChannel(Channel.pipeTo(Stream.toChannel(self), more))
}

/**
 * Gives an effect what was taken when the store was built. What is done already needs nothing any more.
 *
 * @internal
 */
export const providing =
  <R>(context: Context.Context<R>) => <B, E>(self: Effect.Effect<B, E, R>): Effect.Effect<B, E> =>
    isDone(self) ? self : Effect.mapInputContext(self, (own: Context.Context<never>) => Context.merge(own, context))

/**
 * What a parser of `ParseResult` returns is an `Either` unless the schema does asynchronous work; that becomes an
 * `Exit`.
 *
 * @internal
 */
export const fromParser = <A, B, E, R>(
  result: Effect.Effect<A, ParseIssue, R>,
  onFailure: (issue: ParseIssue) => E,
  onSuccess: (value: A) => Exit.Exit<B, E>
): Effect.Effect<B, E, R> =>
  isEither(result)
    ? Either.isRight(result) ? onSuccess(result.right) : Exit.fail(onFailure(result.left))
    : Effect.flatMap(Effect.mapError(result, onFailure), onSuccess)

const isEither = <A, E, R>(result: Effect.Effect<A, E, R>): result is Effect.Effect<A, E, R> & Either.Either<A, E> =>
  Either.isEither(result)
