/**
 * The methods of a `List`.
 *
 * @internal
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type { Failure, Key, List } from "../../KtCompat.js"
import type { Pair } from "../../KtTransport.js"
import { andThen } from "../done.js"
import { ordinals } from "../kt/ordinals.js"
import {
  call,
  clear,
  type Container,
  find,
  listed,
  numberIn,
  optional,
  otherKey,
  outOfBounds,
  type Parameters,
  readRaw,
  strict,
  takenOut,
  whole,
  writeRaw
} from "./containers.js"
import { packing } from "./hash.js"
import { readList, writeList } from "./serialized.js"
import { anyKey, encodeAll } from "./values.js"

/** @internal */
export const makeList = <A>(container: Container<A>): List<A> => {
  const { at, key, values } = container
  const ask = (name: string, parameters?: Parameters, data?: ReadonlyArray<Pair>) =>
    call(container, name, "key", parameters, data)
  const numbered = (asked: Effect.Effect<ReadonlyArray<Pair>, Failure>, name: string) =>
    Effect.flatMap(asked, (pairs) => numberIn(pairs, name))
  const given = (procedure: string, value: A, parameters: Parameters = {}) =>
    andThen(values.encode(value, at), (value) => ask(procedure, { ...parameters, value }))
  const found = (procedure: string, value: A) =>
    Effect.map(
      numbered(given(procedure, value), "index"),
      (index) => index < 0 ? Option.none() : Option.some(index)
    )
  const append = (value: A) => numbered(given("lrpush", value), "length")
  const popping = (procedure: string, push: string) =>
    takenOut(container, Effect.suspend(() => ask(procedure, strict)), (value) => ask(push, { value }))
  const popLeft = popping("llpop", "llpush")
  const popRight = popping("lrpop", "lrpush")
  /** A value at an index comes back before the one that has taken its place, or at the tail. */
  const removed = (index: number) =>
    andThen(
      whole("List.remove", "an index", index),
      () =>
        takenOut(container, ask("lrem", { index }), (value) =>
          index === -1
            ? ask("lrpush", { value })
            : Effect.flatMap(
              ask("linsert", { index: index < 0 ? index + 1 : index, value }),
              (pairs) => pairs.length === 0 ? ask("lrpush", { value }) : Effect.void
            ))
    )
  const moved = (procedure: string, dest: Key | undefined) =>
    andThen(
      dest === undefined ? key : anyKey(dest),
      (dest) => Effect.flatMap(ask(procedure, { dest }), (pairs) => optional(container, find(pairs, "value")))
    )
  const range = (start: number | undefined, stop: number | undefined) =>
    andThen(whole("List", "a start", start), () => whole("List", "a stop", stop))
  const index = (index: number) =>
    andThen(
      whole("List.index", "an index", index),
      () => Effect.flatMap(ask("lindex", { index }), (pairs) => optional(container, find(pairs, "value")))
    )
  return {
    append,
    appendLeft: (value) => numbered(given("llpush", value), "length"),
    appendRight: append,
    clear: clear(container),
    contains: (value) => Effect.map(found("lfind", value), Option.isSome),
    extend: (all) =>
      Effect.flatMap(
        encodeAll(values, all, at),
        (items) => numbered(ask("lextend", {}, ordinals(items)), "length")
      ),
    find: (value) => found("lfind", value),
    getRange: (start, stop) =>
      andThen(
        range(start, stop),
        () => Effect.flatMap(ask("lrange", { ...strict, start, stop }), (pairs) => listed(container, pairs))
      ),
    getRaw: readRaw(container, (bytes) => readList(values, bytes, at)),
    index,
    insert: (index, value) =>
      andThen(
        whole("List.insert", "an index", index),
        () =>
          Effect.flatMap(
            given("linsert", value, { index }),
            (pairs) =>
              pairs.length === 0
                ? Effect.fail(outOfBounds(container, "List.insert", index))
                : numberIn(pairs, "length")
          )
      ),
    length: numbered(Effect.suspend(() => ask("llen")), "num"),
    lpoprpush: (dest) => moved("llpoprpush", dest),
    pack: (options = {}) => andThen(packing(options), (parameters) => numbered(ask("lpack", parameters), "num")),
    pop: (index) => index === undefined ? popRight : removed(index),
    popLeft,
    popRight,
    remove: (index) =>
      Effect.flatMap(
        removed(index),
        Option.match({
          onNone: () => Effect.fail(outOfBounds(container, "List.remove", index)),
          onSome: Effect.succeed
        })
      ),
    removeRange: (start, stop) =>
      andThen(range(start, stop), () => numbered(ask("lremrange", { ...strict, start, stop }), "length")),
    rfind: (value) => found("lrfind", value),
    rpoplpush: (dest) => moved("lrpoplpush", dest),
    set: (index, value) =>
      andThen(
        whole("List.set", "an index", index),
        () =>
          Effect.flatMap(
            given("lset", value, { ...strict, index }),
            (pairs) => pairs.length === 0 ? Effect.fail(outOfBounds(container, "List.set", index)) : Effect.void
          )
      ),
    setRaw: (all) => writeRaw(container, writeList(values, all, at)),
    unpack: ({ format, prefix, start, stop } = {}) =>
      andThen(
        range(start, stop),
        () =>
          andThen(
            otherKey(prefix),
            (prefix) => numbered(ask("lunpack", { ...strict, format, prefix, start, stop }), "num")
          )
      )
  }
}
