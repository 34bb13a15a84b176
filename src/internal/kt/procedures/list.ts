/**
 * Lists: arrays in one record. Indexes begin at 0; negative ones count from the end.
 *
 * @internal
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Storage from "../../../Storage.js"
import { bytesOf, concat, equal, latin1, utf8 } from "../bytes.js"
import { together } from "../databases.js"
import { ordinals } from "../ordinals.js"
import {
  answer,
  arrays,
  creates,
  define,
  edit,
  fromOrdinals,
  load,
  num,
  packed,
  type Pairs,
  type Procedure,
  refuse,
  value
} from "./define.js"

type Items = Array<Uint8Array>

const length = (items: Items): Pairs => answer("length", items.length)

const list = { required: ["key"] } as const
const listAndValue = { required: ["key", "value"] } as const

/** From the beginning; below zero if there is no such place. */
const place = (index: number, items: Items): number => Math.trunc(index < 0 ? index + items.length : index)

const isIn = (at: number, items: Items): boolean => at >= 0 && at < items.length

/** A part of a list. One that begins before the list is empty to the original, and cut to it by Python's rules. */
const slice = (items: Items, start: number, stop: number | undefined, strict: boolean): Items =>
  start < -items.length && !strict ? [] : items.slice(start, stop ?? items.length)

const pushing = (name: string, push: (items: Items, value: Uint8Array) => void): Procedure =>
  define(name, listAndValue, ({ key, value }, context) =>
    edit(arrays, context, key, (items) => {
      push(items, value)
      return [length(items), true]
    }))

const popping = (name: string, pop: (items: Items) => Uint8Array | undefined): Procedure =>
  define(
    name,
    { optional: ["strict"], required: ["key"] },
    ({ key }, context) =>
      edit(arrays, context, key, (items, isThere) => {
        const item = pop(items)
        return [value(item), item !== undefined || creates(context, isThere)]
      })
  )

const asItIs = ({ expiresAt, value }: Storage.Entry<Uint8Array>): Storage.Change => Storage.put(value, expiresAt)

const moving = (
  name: string,
  pop: (items: Items) => Uint8Array | undefined,
  push: (items: Items, value: Uint8Array) => void
): Procedure =>
  define(name, { required: ["key", "dest"] }, ({ dest, key }, context) => {
    const popped = (then: (items: Items, item: Uint8Array) => void) =>
      edit(arrays, context, key, (items) => {
        const item = pop(items)
        if (item !== undefined) then(items, item)
        return [item, item !== undefined]
      })
    if (equal(key, dest)) return Effect.map(popped(push), value)
    // Whoever moves between these two, either way, locks them in one order: in two they would wait for each other. Only
    // what is written stays locked, so it is written as it is.
    const locked = latin1(dest) < latin1(key)
      ? context.keyspace.modify(dest, (entry) => [
        undefined,
        Option.match(entry, { onNone: () => Storage.keep, onSome: asItIs })
      ])
      : Effect.void
    return together(
      [context.database],
      Effect.flatMap(Effect.zipRight(locked, popped(() => {})), (item) =>
        item === undefined ? Effect.succeed([]) : edit(arrays, context, dest, (items) => {
          push(items, item)
          return [value(item), true]
        }))
    )
  })

const finding = (name: string, find: (items: Items, isEqual: (item: Uint8Array) => boolean) => number): Procedure =>
  define(name, listAndValue, ({ key, value }, context) =>
    Effect.map(
      load(arrays, context, key),
      (items) => answer("index", find(items, (item) => equal(item, value)))
    ))

const directive = /%(%|(0?)(\d{0,3})([diuxX])|)/g

/** A way to write a number by a format of C, of which those for a whole number are known; or undefined. */
const formatter = (template: string): ((index: number) => string) | undefined => {
  const found = Array.from(template.matchAll(directive), ([all]) => all)
  return found.includes("%") ?
    undefined :
    (index) =>
      template.replace(directive, (_, percent: string, zero: string, width: string, kind: string) => {
        if (percent === "%") return "%"
        const digits = index.toString(kind === "x" || kind === "X" ? 16 : 10)
        return (kind === "X" ? digits.toUpperCase() : digits).padStart(Number(width), zero || " ")
      })
}

/** A format that has all numbers be one text. */
const isConstant = (format: (index: number) => string): boolean => format(0) === format(1)

const shiftInto = (items: Items, item: Uint8Array): void => void items.unshift(item)
const pushInto = (items: Items, item: Uint8Array): void => void items.push(item)

/** @internal */
export const lists: ReadonlyArray<Procedure> = [
  pushing("llpush", shiftInto),
  pushing("lrpush", pushInto),
  define("lextend", list, ({ key }, context) =>
    edit(arrays, context, key, (items) => {
      for (const item of fromOrdinals(context.data)) items.push(item)
      return [length(items), true]
    })),
  define(
    "lrange",
    { optional: ["start", "stop", "strict"], required: ["key"] },
    ({ key }, { given, number, ...context }) =>
      Effect.map(
        load(arrays, context, key),
        (items) => ordinals(slice(items, number("start") ?? 0, number("stop"), given("strict") !== undefined))
      )
  ),
  define("lindex", { optional: ["index"], required: ["key"] }, ({ key }, context) =>
    Effect.map(
      load(arrays, context, key),
      (items) => value(items[place(context.number("index") ?? 0, items)])
    )),
  define(
    "linsert",
    { required: ["key", "index", "value"] },
    ({ key, value }, context) =>
      edit(arrays, context, key, (items) => {
        const index = context.number("index")
        if (index === undefined) return [[], false]
        // In an empty list there is nothing before which it could be.
        const at = items.length === 0 && (index === 0 || index === -1) ? 0 : place(index, items)
        if (!isIn(at, items) && !(items.length === 0 && at === 0)) return [[], false]
        items.splice(at, 0, value)
        return [length(items), true]
      })
  ),
  popping("llpop", (items) => items.shift()),
  popping("lrpop", (items) => items.pop()),
  define(
    "lrem",
    { optional: ["index"], required: ["key"] },
    ({ key }, context) =>
      edit(arrays, context, key, (items) => {
        const at = place(context.number("index") ?? 0, items)
        const removed = isIn(at, items) ? items.splice(at, 1)[0] : undefined
        return [value(removed), removed !== undefined]
      })
  ),
  define(
    "lremrange",
    { optional: ["start", "stop", "strict"], required: ["key"] },
    ({ key }, context) =>
      Effect.flatMap(
        edit(arrays, context, key, (items, isThere): readonly [Pairs | undefined, boolean] => {
          const start = context.number("start")
          const stop = context.number("stop")
          const before = items.length
          if (context.given("strict") !== undefined) {
            items.splice(start ?? 0, slice(items, start ?? 0, stop, true).length)
            return [length(items), items.length < before]
          }
          // As the original does it: ends that are in the wrong order change places, and ends are within the list.
          if ([start, stop].some((index) => index !== undefined && !isIn(place(index, items), items))) {
            return [undefined, false]
          }
          const first = start === undefined ? 0 : place(start, items)
          const last = stop === undefined ? before - 1 : place(stop, items) - 1
          const from = Math.max(0, Math.min(first, last))
          items.splice(from, Math.max(first, last) - from + 1)
          return [length(items), items.length < before || !isThere]
        }),
        (pairs) =>
          pairs === undefined ? refuse("lremrange", "the range does not lie in the list") : Effect.succeed(pairs)
      )
  ),
  define(
    "lset",
    { optional: ["index", "strict"], required: ["key", "value"] },
    ({ key, value }, context) =>
      edit(arrays, context, key, (items) => {
        const index = context.number("index") ?? 0
        const at = index < 0 && context.given("strict") === undefined ? index : place(index, items)
        if (!isIn(at, items)) return [[], false]
        items[at] = value
        return [num(1), true]
      })
  ),
  finding("lfind", (items, isEqual) => items.findIndex(isEqual)),
  finding("lrfind", (items, isEqual) => items.findLastIndex(isEqual)),
  define("llen", list, ({ key }, context) => Effect.map(load(arrays, context, key), (items) => num(items.length))),
  moving("lrpoplpush", (items) => items.pop(), shiftInto),
  moving("llpoprpush", (items) => items.shift(), pushInto),
  define(
    "lunpack",
    { optional: ["prefix", "start", "stop", "format", "strict"], required: ["key"] },
    ({ key }, { given, number, ...context }) => {
      const prefix = given("prefix") ?? concat(key, utf8(":"))
      const template = Buffer.from(given("format") ?? utf8("%04d")).toString("utf8")
      const format = formatter(template)
      const isStrict = given("strict") !== undefined
      if (format === undefined || (isStrict && isConstant(format))) {
        return refuse("lunpack", `${JSON.stringify(template)} is no format for an index; give one like "%04d"`)
      }
      return together(
        [context.database],
        Effect.flatMap(load(arrays, context, key), (items) => {
          const start = number("start") ?? 0
          const first = start < 0 ? Math.max(0, start + items.length) : start
          const unpacked = slice(items, start, number("stop"), isStrict)
          return Effect.as(
            context.keyspace.setMany(
              unpacked.map((value, i) => ({
                expiresAt: undefined,
                key: concat(prefix, utf8(format(first + i))),
                value
              }))
            ),
            num(unpacked.length)
          )
        })
      )
    }
  ),
  define(
    "lpack",
    { optional: ["start", "stop", "count", "strict"], required: ["key"] },
    ({ key }, context) =>
      together(
        [context.database],
        Effect.flatMap(packed(context, key), (entries) =>
          edit(arrays, context, key, (items) => {
            for (const { value } of entries) items.push(bytesOf(value))
            return [num(entries.length), entries.length > 0]
          }))
      )
  )
]
