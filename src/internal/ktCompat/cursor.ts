/**
 * The methods of a `Cursor`.
 *
 * @internal
 */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import type { Cursor, Failure } from "../../KtCompat.js"
import type * as KtTransport from "../../KtTransport.js"
import { andThen, mapStream } from "../done.js"
import { keep } from "../kt/expiry.js"
import { takingOut } from "./containers.js"
import { at, expiryOf, type Keys, nowhere, refuse, type Values } from "./values.js"

/** @internal */
export const makeCursor = <K, A>(
  cursor: KtTransport.Cursor,
  keys: Keys<K>,
  values: Values<A>,
  putBack: (entry: KtTransport.Entry) => Effect.Effect<unknown, Failure>
): Cursor<K, A> => {
  const key = ({ key }: KtTransport.Entry): Effect.Effect<K, Failure> => keys.decode(key)
  const value = ({ key, value }: KtTransport.Entry): Effect.Effect<A, Failure> => values.decode(value, at(key))
  const both = (entry: KtTransport.Entry): Effect.Effect<readonly [K, A], Failure> =>
    andThen(key(entry), (key) => andThen(value(entry), (value) => Exit.succeed([key, value] as const)))
  const reading = <B>(
    f: (entry: KtTransport.Entry) => Effect.Effect<B, Failure>
  ) =>
  ({ step = false }: { readonly step?: boolean | undefined } = {}): Effect.Effect<Option.Option<B>, Failure> =>
    Effect.flatMap(
      cursor.get(step),
      (found): Effect.Effect<Option.Option<B>, Failure> =>
        Option.isNone(found)
          ? Effect.succeedNone
          : andThen(f(found.value), (value) => Exit.succeed(Option.some(value)))
    )
  const jumping = (jump: (key?: Uint8Array) => Effect.Effect<boolean, Failure>) => (key?: K) =>
    key === undefined ? jump() : andThen(keys.encode(key), jump)
  return {
    entries: mapStream(cursor.entries, both),
    get: reading(both),
    isValid: Effect.map(cursor.get(false), Option.isSome),
    jump: jumping(cursor.jump),
    jumpBack: jumping(cursor.jumpBack),
    key: reading(key),
    remove: Effect.map(cursor.seize, Option.isSome),
    seize: takingOut(
      () => cursor.seize,
      (found): Effect.Effect<Option.Option<readonly [K, A]>, Failure> =>
        Option.isNone(found) ? Effect.succeedNone : Effect.map(both(found.value), Option.some),
      (found) => Option.isNone(found) ? Effect.void : putBack(found.value)
    ),
    setValue: (value, { expireTime, step = false } = {}) =>
      Effect.flatMap(expiryOf("Cursor.setValue", expireTime, keep), (expiry) =>
        values.bindsToKey
          ? Effect.fail(
            refuse(
              "Cursor.setValue",
              "values of this serializer are bound to their key, which is not known before it is written; use the key and set"
            )
          )
          : Effect.flatMap(values.encode(value, nowhere), (value) => cursor.set(value, step, expiry))),
    step: cursor.step,
    stepBack: cursor.stepBack,
    value: reading(value)
  }
}
