/**
 * How a call becomes the key of its answer.
 *
 * @internal
 */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as ParseResult from "effect/ParseResult"
import type * as Schema from "effect/Schema"
import * as AST from "effect/SchemaAST"
import type * as Types from "effect/Types"
import { CodecError } from "../../Codec.js"
import type { Key } from "../../Memoize.js"
import { andThen, fromParser, providing } from "../done.js"
import { sha256 } from "../sha256.js"
import { lastingContext } from "../storage/transactions.js"
import * as key from "./key.js"
import { type Situation, situationOf } from "./situation.js"

/**
 * A call, with the keys of its answer: in memory, and in the storage.
 *
 * @internal
 */
export interface Call<Args> {
  readonly args: Args
  readonly text: string
  readonly key: string
  readonly situation: Situation
  /** Whether there is a span of it. */
  readonly isTraced: boolean
}

/** @internal */
export interface Calls<in out Args> {
  readonly textOf: (args: Args) => Effect.Effect<string, CodecError>
  readonly callOf: (args: Args, text: string, situation: Situation, isTraced?: boolean) => Call<Args>
  /** For a call, wherever it is made. */
  readonly with: <B, E, R>(
    args: Args,
    use: (call: Call<Args>) => Effect.Effect<B, E, R>
  ) => Effect.Effect<B, E | CodecError, R>
}

/** How many arguments there are, if the schema says nothing but that they are strings. */
const stringsOf = (ast: AST.AST): number | undefined =>
  AST.isTupleType(ast) && ast.rest.length === 0 &&
    ast.elements.every(({ isOptional, type }) => !isOptional && AST.isStringKeyword(type))
    ? ast.elements.length
    : undefined

/** How many arguments there must be. */
const requiredOf = (ast: AST.AST): number =>
  AST.isTupleType(ast) && ast.rest.length === 0
    ? ast.elements.filter(({ isOptional }) => !isOptional).length
    : Infinity

/** Most arguments are strings alone, which are their own encoding, printed as `print` would. */
const areStrings = (args: ReadonlyArray<unknown>, arity: number | undefined): boolean => {
  if (args.length !== arity) return false
  for (let i = 0; i < arity; i++) if (typeof args[i] !== "string") return false
  return true
}

/** @internal */
export const makeCalls = <Args extends ReadonlyArray<unknown>, IArgs, RArgs>(
  options: {
    readonly args: Schema.Schema<Args, IArgs, RArgs>
    readonly key?: ((...args: Types.Mutable<Args>) => Key) | undefined
    readonly name: string
    readonly version?: number | string | undefined
  },
  keyspace: string
): Effect.Effect<Calls<Args>, never, RArgs> =>
  Effect.map(lastingContext<RArgs>(), (context) => {
    const provide = providing(context)
    const encode = ParseResult.encodeUnknown(options.args)
    const identity = `${key.print([options.name, options.version ?? 1])} `

    const misfit = (detail: string, cause?: unknown) =>
      Exit.fail(new CodecError({ cause, detail, key: "(arguments)", keyspace, operation: "encode" }))
    const printed = (prefix: string, value: unknown): Exit.Exit<string, CodecError> => {
      try {
        return Exit.succeed(prefix + key.print(value))
      } catch (cause) {
        return misfit(cause instanceof Error ? cause.message : String(cause), cause)
      }
    }
    const arity = stringsOf(options.args.ast)
    const required = requiredOf(AST.typeAST(options.args.ast))
    /** An argument that may be left out, and is undefined, is left out. */
    const without = (args: Args): unknown => {
      let { length } = args
      while (length > required && args[length - 1] === undefined) length--
      return length === args.length ? args : args.slice(0, length)
    }
    const textOf = (args: Args): Effect.Effect<string, CodecError> => {
      try {
        if (options.key === undefined && areStrings(args, arity)) return Exit.succeed(JSON.stringify(args))
        return options.key !== undefined ? printed("key ", options.key(...args)) : provide(
          fromParser(
            encode(without(args)),
            (issue) =>
              new CodecError({
                detail: ParseResult.TreeFormatter.formatIssueSync(issue),
                issue,
                key: "(arguments)",
                keyspace,
                operation: "encode"
              }),
            (encoded) => printed("", encoded)
          )
        )
      } catch (cause) {
        return misfit(`the key, or the schema of the arguments, threw ${String(cause)}`, cause)
      }
    }
    const callOf = (args: Args, text: string, situation: Situation, isTraced = false): Call<Args> => ({
      args,
      isTraced,
      key: sha256(identity + text),
      situation,
      text
    })
    return {
      callOf,
      textOf,
      with: <B, E, R>(args: Args, use: (call: Call<Args>) => Effect.Effect<B, E, R>) =>
        Effect.withFiberRuntime<B, E | CodecError, R>((fiber) =>
          andThen(textOf(args), (text) => use(callOf(args, text, situationOf(fiber.currentContext))))
        )
    }
  })
