/**
 * A function in place of a memoised one, which is called each time.
 *
 * @internal
 */
import * as Effect from "effect/Effect"
import { CodecError } from "../../Codec.js"
import type { Memo } from "../../Memoize.js"
import { providing } from "../done.js"
import { sha256 } from "../sha256.js"
import * as key from "./key.js"

/** @internal */
export const makeDouble = <Args extends ReadonlyArray<unknown>, A, E, R>(
  name: string,
  f: (...args: Args) => Effect.Effect<A, E, R>
): Effect.Effect<Memo<Args, A, E>, never, R> =>
  Effect.map(Effect.context<R>(), (context) => {
    const provide = providing(context)
    const run = (...args: Args) => provide(Effect.suspend(() => f(...args)))
    const keyOf = (...args: Args) =>
      Effect.try({
        catch: (cause) =>
          new CodecError({ cause, detail: String(cause), key: "(arguments)", keyspace: name, operation: "encode" }),
        try: () => sha256(key.print([name, args]))
      })
    return Object.assign((...args: Args) => run(...args), {
      invalidate: () => Effect.succeed(false),
      invalidateAll: Effect.succeed(0),
      keyOf,
      peek: () => Effect.succeedNone,
      refresh: run,
      softInvalidate: () => Effect.succeed(false)
    })
  })
