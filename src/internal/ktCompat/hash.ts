/**
 * The methods of a `Hash`.
 *
 * @internal
 */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type { Dictionary, Failure, Hash, PackOptions } from "../../KtCompat.js"
import type { Pair } from "../../KtTransport.js"
import { andThen } from "../done.js"
import { none } from "../kt/bytes.js"
import {
  call,
  clear,
  type Container,
  counted,
  find,
  optional,
  otherKey,
  type Parameters,
  readRaw,
  strict,
  whole,
  writeRaw
} from "./containers.js"
import { readDict, writeDict } from "./serialized.js"
import { anyKey, decodePairs, encodePairs } from "./values.js"

/**
 * Where records are that are packed, as parameters.
 *
 * @internal
 */
export const packing = ({ count, start, stop }: PackOptions): Effect.Effect<Parameters, Failure> =>
  andThen(
    whole("pack", "a count", count, 0),
    () =>
      andThen(otherKey(start), (start) =>
        andThen(otherKey(stop), (stop) => Exit.succeed({ count, ...strict, start, stop })))
  )

/** @internal */
export const makeHash = <A>(container: Container<A>): Hash<A> => {
  const { at, values } = container
  const ask = (name: string, parameters?: Parameters, data?: ReadonlyArray<Pair>) =>
    call(container, name, "table_key", parameters, data)
  const told = (asked: Effect.Effect<ReadonlyArray<Pair>, Failure>) => Effect.map(counted(asked), (count) => count > 0)
  const field = (procedure: string, name: string, parameters: Parameters = {}) =>
    andThen(anyKey(name), (key) => ask(procedure, { ...parameters, key }))
  const write = (procedure: string, name: string, value: A) =>
    Effect.flatMap(
      anyKey(name),
      (key) => andThen(values.encode(value, at), (value) => ask(procedure, { key, value }))
    )
  const names = (all: Iterable<string>) =>
    Effect.forEach(all, (name) => Effect.map(anyKey(name), (name): Pair => [name, none]))
  const setBulk = (all: Dictionary<string, A>) =>
    andThen(encodePairs(values, all, at), (data) => counted(ask("hmset", {}, data)))
  return {
    clear: clear(container),
    contains: (name) => told(field("hcontains", name)),
    get: (name) => Effect.flatMap(field("hget", name), (pairs) => optional(container, find(pairs, "value"))),
    getAll: Effect.flatMap(Effect.suspend(() => ask("hgetall")), (pairs) => decodePairs(values, pairs, at)),
    getBulk: (all) =>
      Effect.flatMap(
        names(all),
        (data) => Effect.flatMap(ask("hmget", {}, data), (pairs) => decodePairs(values, pairs, at))
      ),
    getRaw: readRaw(container, (bytes) => readDict(values, bytes, at)),
    length: counted(Effect.suspend(() => ask("hlen"))),
    pack: (options = {}) => andThen(packing(options), (parameters) => counted(ask("hpack", parameters))),
    packKeys: (key) => andThen(anyKey(key), (key) => counted(ask("hpackkeys", { key }))),
    packValues: (key) => andThen(anyKey(key), (key) => counted(ask("hpackvalues", { key }))),
    remove: (name) => told(field("hdel", name, strict)),
    removeBulk: (all) => Effect.flatMap(names(all), (data) => counted(ask("hmdel", strict, data))),
    set: (name, value) => Effect.asVoid(write("hset", name, value)),
    setBulk,
    setRaw: (all) => writeRaw(container, writeDict(values, all, at)),
    setnx: (name, value) => told(write("hsetnx", name, value)),
    unpack: ({ prefix } = {}) => andThen(otherKey(prefix), (prefix) => counted(ask("hunpack", { prefix }))),
    update: setBulk
  }
}
