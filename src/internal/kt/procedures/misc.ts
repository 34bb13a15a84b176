/**
 * Procedures on plain records.
 *
 * @internal
 */
import * as Arr from "effect/Array"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type { Expiry, Failure, Later } from "../../../KtTransport.js"
import type * as Storage from "../../../Storage.js"
import { bytesOf, equal, latin1, utf8 } from "../bytes.js"
import { keep, toXt } from "../expiry.js"
import { fnv, murmur } from "../hashing.js"
import { parseLua, printLua } from "../numbers.js"
import { touch } from "../records.js"
import { all, answer, atomically, define, type Pairs, type Procedure, refuse } from "./define.js"

const pairs = (entries: ReadonlyArray<Storage.Entry<Uint8Array>>): Pairs =>
  entries.map(({ key, value }) => [key, bytesOf(value)])

/** Changes when records expire, by a number that each is given; answers with what `told` makes of that. */
const touching = (
  name: string,
  change: (given: number) => Expiry | Later,
  told: (before: number, given: number) => number
): Procedure =>
  define(name, {}, (_, context) =>
    atomically(
      context,
      Effect.map(
        Effect.forEach(context.data, ([key, value]) => {
          const given = parseLua(latin1(value))
          return Effect.map(
            touch(context.keyspace, [key], given === undefined ? keep : change(Math.trunc(given))),
            Arr.flatMap(Option.match({
              onNone: (): Pairs => [],
              onSome: ({ before }): Pairs => [[key, utf8(printLua(told(toXt(before), Math.trunc(given ?? 0))))]]
            }))
          )
        }),
        Arr.flatten
      )
    ))

/** @internal */
export const misc: ReadonlyArray<Procedure> = [
  define("move", { required: ["src", "dest"] }, ({ dest, src }, context) =>
    atomically(
      context,
      Effect.flatMap(context.keyspace.get(src), (found): Effect.Effect<Pairs, Failure> => {
        if (Option.isNone(found)) return refuse("move", "there is no record at the source")
        const { expiresAt, value } = found.value
        return equal(src, dest) ? Effect.succeed([]) : Effect.as(
          Effect.zipRight(context.keyspace.set(dest, value, expiresAt), context.keyspace.remove(src)),
          []
        )
      })
    )),
  define("list", {}, (_, { keyspace }) => Effect.map(all(keyspace, {}), pairs)),
  define(
    "get_range",
    { optional: ["start", "stop"] },
    (_, { given, keyspace }) => Effect.map(all(keyspace, { from: given("start"), through: given("stop") }), pairs)
  ),
  define("hash", { optional: ["fn"], required: ["str"] }, ({ str }, { given }) => {
    const fn = given("fn")
    const value = fn !== undefined && latin1(fn) === "fnv" ? fnv(str) : murmur(str)
    return Effect.succeed([[utf8("hash"), utf8(String(value))]])
  }),
  define(
    "get_part",
    { optional: ["start", "stop"], required: ["key"] },
    ({ key }, { keyspace, number }) =>
      Effect.map(keyspace.get(key), (found) =>
        Option.isNone(found)
          ? []
          : answer("value", bytesOf(found.value.value).slice(number("start") ?? 0, number("stop"))))
  ),
  touching("touch_bulk", (xt) => ({ _tag: "Xt", xt }), (before) => before),
  touching(
    "touch_bulk_relative",
    (given) => ({ _tag: "Later", millis: given * 1000 }),
    (before, given) => before + given
  ),
  define(
    "expire_time",
    { required: ["key"] },
    ({ key }, { keyspace }) =>
      Effect.map(
        keyspace.head(key),
        (found) => Option.isNone(found) ? [] : [[utf8("xt"), utf8(String(toXt(found.value.expiresAt)))]]
      )
  ),
  define("get_error", {}, (_, { engine }) => {
    const { code, message } = engine.lastError()
    return Effect.succeed([[utf8("code"), utf8(String(code))], [utf8("message"), utf8(message)]])
  }),
  define("_error_code", { optional: ["flag"] }, (_, { name, number }) => {
    const flag = number("flag") ?? 0
    return Number.isInteger(flag) && flag >= 1 && flag <= 11
      ? refuse(name, `as asked by flag ${flag}`)
      : Effect.succeed([])
  })
]
