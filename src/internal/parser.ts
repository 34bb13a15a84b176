/**
 * Schema's parsers, without the cost of an effect where none is needed.
 *
 * @internal
 */
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Exit from "effect/Exit"
import type { ParseIssue } from "effect/ParseResult"

/**
 * What a parser of `ParseResult` returns is an `Either` unless the schema does asynchronous work; that becomes an
 * `Exit`, which the caller can use at once.
 *
 * @internal
 */
export const fromParser = <A, B, E, R>(
  result: Effect.Effect<A, ParseIssue, R>,
  onFailure: (issue: ParseIssue) => E,
  onSuccess: (value: A) => Exit.Exit<B, E>
): Effect.Effect<B, E, R> =>
  isDone(result)
    ? Either.isRight(result) ? onSuccess(result.right) : Exit.fail(onFailure(result.left))
    : Effect.flatMap(Effect.mapError(result, onFailure), onSuccess)

const isDone = <A, E, R>(result: Effect.Effect<A, E, R>): result is Effect.Effect<A, E, R> & Either.Either<A, E> =>
  Either.isEither(result)
