/**
 * Codecs that stores use: they have what they need, and one that throws is one that fails.
 *
 * @internal
 */
import type * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Codec from "../../Codec.js"
import { isDone, providing } from "../done.js"

/** @internal */
export const safely = <A, R>(
  operation: "encode" | "decode",
  at: Codec.At,
  run: () => Effect.Effect<A, Codec.CodecError, R>
): Effect.Effect<A, Codec.CodecError, R> => {
  const thrown = (cause: unknown) =>
    new Codec.CodecError({ ...at, cause, detail: `the codec threw ${String(cause)}`, operation })
  try {
    const self = run()
    return isDone(self) ? self : Effect.catchAllDefect(self, (cause) => Effect.fail(thrown(cause)))
  } catch (cause) {
    return Exit.fail(thrown(cause))
  }
}

/**
 * Gives a codec what its schema needs, once.
 *
 * @internal
 */
export const provided = <A, R>(codec: Codec.Codec<A, R>, context: Context.Context<R>): Codec.Codec<A> => {
  const provide = providing(context)
  return Codec.make({
    bindsToKey: codec.bindsToKey,
    decode: (stored, at) => safely("decode", at, () => provide(codec.decode(stored, at))),
    encode: (value, at) => safely("encode", at, () => provide(codec.encode(value, at))),
    equivalence: codec.equivalence,
    storesText: codec.storesText
  })
}
