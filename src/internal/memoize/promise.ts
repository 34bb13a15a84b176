/**
 * Functions that return promises, as functions that return effects.
 *
 * @internal
 */
import type * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import type * as Schema from "effect/Schema"
import * as AST from "effect/SchemaAST"
import type * as Types from "effect/Types"

/** How many arguments come before the signal, those that may be left out included. */
const arityOf = (ast: AST.AST): number => AST.isTupleType(ast) ? ast.elements.length : 0

/** @internal */
export const fromPromise = <Args extends ReadonlyArray<unknown>, IArgs, RArgs, A, E>(
  args: Schema.Schema<Args, IArgs, RArgs>,
  f: (...args: [...Types.Mutable<Args>, AbortSignal]) => A | Promise<A>,
  onRejected: ((error: unknown) => E) | undefined
) => {
  const arity = arityOf(AST.typeAST(args.ast))
  return (...args: Types.Mutable<Args>): Effect.Effect<A, E | Cause.UnknownException> => {
    const run = async (signal: AbortSignal) => {
      const padded = args.slice()
      while (padded.length < arity) padded.push(undefined)
      return f(...padded as typeof args, signal)
    }
    return onRejected === undefined ? Effect.tryPromise(run) : Effect.tryPromise({ catch: onRejected, try: run })
  }
}
