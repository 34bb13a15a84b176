/**
 * How the keys of a store are written and read.
 *
 * @internal
 */
import type * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as ParseResult from "effect/ParseResult"
import type * as Schema from "effect/Schema"
import * as Codec from "../../Codec.js"
import { InvalidKey } from "../../StorageError.js"
import { fromParser, providing } from "../done.js"

/** @internal */
export interface KeyCodec<K> {
  readonly encode: (key: K) => Effect.Effect<string, InvalidKey>
  /** `stored` is the whole key, of which a view leaves out the beginning. */
  readonly decode: (key: string, stored: string) => Effect.Effect<K, Codec.CodecError>
  /** The same for keys that are written as they are. */
  readonly asIs?: (key: string) => K
}

/** @internal */
export const schemaKeys = <K, I extends string, R>(
  schema: Schema.Schema<K, I, R>,
  keyspace: string,
  context: Context.Context<R>
): KeyCodec<K> => {
  const encode = ParseResult.encode(schema)
  const decode = ParseResult.decodeUnknown(schema)
  const provide = providing(context)
  const message = ParseResult.TreeFormatter.formatIssueSync
  return {
    decode: (key, stored) =>
      provide(fromParser(
        decode(key),
        (issue) =>
          new Codec.CodecError({
            detail: `its key does not fit: ${message(issue)}`,
            issue,
            key: stored,
            keyspace,
            operation: "decode"
          }),
        Exit.succeed
      )),
    encode: (key) =>
      provide(
        fromParser(encode(key), (issue) => new InvalidKey({ issue: message(issue), key, keyspace }), Exit.succeed)
      )
  }
}

/**
 * Without a schema keys are strings: the type parameter `K` defaults to that, which is all the cast says.
 *
 * @internal
 */
export const textKeys = <K = string>(keyspace: string): KeyCodec<K> => ({
  asIs: (key) => key as K,
  decode: (key) => Exit.succeed(key as K),
  encode: (key) =>
    typeof key === "string"
      ? Exit.succeed(key)
      : Exit.fail(new InvalidKey({ issue: "it is not a string, and the store has no schema for keys", key, keyspace }))
})
