/** Random programs, run on a TtlStore and on a plain Map with expiries: they must agree on every answer. */
import { it } from "@effect/vitest"
import { deepStrictEqual } from "@effect/vitest/utils"
import { Chunk, Duration, Effect, FastCheck as fc, Option, Schema, Stream, TestClock, TestContext } from "effect"
import { Codec, type KeyValueStore, TtlStore } from "effect-kv"
import { describeOn, type Engine, postgres } from "../engines.js"

type Command =
  | {
    readonly _tag: "get" | "has" | "take" | "remove" | "ttl" | "persist"
    readonly key: string
  }
  | { readonly _tag: "getMany" | "getManyMap" | "removeMany"; readonly keys: ReadonlyArray<string> }
  | {
    readonly _tag: "set" | "insert" | "replace" | "swap" | "getOrInsert" | "getOrSet" | "update" | "modify" | "append"
    readonly key: string
    readonly value: string
    readonly expiry: Expiry
  }
  | { readonly _tag: "increment"; readonly key: string; readonly by: number; readonly expiry: Expiry }
  | {
    readonly _tag: "setMany"
    readonly entries: ReadonlyArray<{ readonly key: string; readonly value: string; readonly expiry: Expiry }>
    readonly expiry: Expiry
  }
  | { readonly _tag: "modifyAway"; readonly key: string }
  | {
    readonly _tag: "compareAndSet"
    readonly key: string
    readonly expected: string | undefined
    readonly next: string | undefined
    readonly expiry: Expiry
  }
  | { readonly _tag: "rename"; readonly key: string; readonly to: string; readonly overwrite: boolean }
  | { readonly _tag: "entries" | "keys" | "values" | "size" | "clear"; readonly range: KeyValueStore.Range<string> }
  | { readonly _tag: "toMap" | "isEmpty" | "sweep" }
  | { readonly _tag: "getAndTouch" | "touch"; readonly key: string; readonly life: number | undefined }
  | { readonly _tag: "extend"; readonly key: string; readonly by: number }
  | {
    readonly _tag: "expire" | "expireAt"
    readonly key: string
    readonly life: number
    readonly onlyIf: TtlStore.Condition | undefined
  }
  | { readonly _tag: "clock"; readonly millis: number }
  | { readonly _tag: "transaction"; readonly commit: boolean; readonly commands: ReadonlyArray<Command> }

/** `at` is in milliseconds from the beginning. */
type Expiry = undefined | { readonly keep: true } | { readonly life: number } | { readonly at: number }

const begin = 1_000_000

const key = fc.constantFrom("a", "aa", "ab", "b", "é", "\u{1F600}")
// Whole numbers above zero as text are numbers as JSON, also after other such are appended.
const value = fc.integer({ max: 99, min: 1 }).map(String)
const life = fc.oneof(
  { arbitrary: fc.integer({ max: 40, min: -2 }), weight: 8 },
  { arbitrary: fc.constant(Infinity), weight: 1 }
)
const expiry: fc.Arbitrary<Expiry> = fc.oneof(
  fc.constant(undefined),
  fc.record({ keep: fc.constant(true as const) }),
  fc.record({ life }),
  fc.record({ at: fc.integer({ max: 80, min: 0 }) })
)
const range: fc.Arbitrary<KeyValueStore.Range<string>> = fc.record({
  from: fc.option(key, { nil: undefined }),
  limit: fc.option(fc.integer({ max: 4, min: 0 }), { freq: 1, nil: undefined }),
  prefix: fc.option(fc.constantFrom("", "a"), { nil: undefined }),
  reverse: fc.boolean(),
  through: fc.option(key, { nil: undefined })
})

const tag = <const Tags extends ReadonlyArray<string>>(...tags: Tags): fc.Arbitrary<Tags[number]> =>
  fc.constantFrom(...tags)
const optional = <A>(arbitrary: fc.Arbitrary<A>): fc.Arbitrary<A | undefined> =>
  fc.option(arbitrary, { nil: undefined })

const { command } = fc.letrec<{ readonly command: Command }>((tie) => ({
  command: fc.oneof(
    { depthSize: "small", maxDepth: 2 },
    {
      arbitrary: fc.record({
        _tag: tag("set", "insert", "replace", "swap", "getOrInsert", "getOrSet", "update", "modify", "append"),
        expiry,
        key,
        value
      }),
      weight: 9
    },
    { arbitrary: fc.record({ _tag: tag("get", "has", "take", "remove", "ttl", "persist"), key }), weight: 6 },
    { arbitrary: fc.record({ _tag: tag("clock"), millis: fc.integer({ max: 20, min: -12 }) }), weight: 5 },
    {
      arbitrary: fc.record({
        _tag: tag("expire", "expireAt"),
        key,
        life,
        onlyIf: optional(fc.constantFrom<Array<TtlStore.Condition>>("persistent", "expiring", "later", "earlier"))
      }),
      weight: 3
    },
    { arbitrary: fc.record({ _tag: tag("getAndTouch", "touch"), key, life: optional(life) }), weight: 3 },
    { arbitrary: fc.record({ _tag: tag("entries", "keys", "values", "size", "clear"), range }), weight: 3 },
    { arbitrary: fc.record({ _tag: tag("getMany", "getManyMap", "removeMany"), keys: fc.array(key) }), weight: 2 },
    {
      arbitrary: fc.record({ _tag: tag("setMany"), entries: fc.array(fc.record({ expiry, key, value })), expiry }),
      weight: 2
    },
    {
      arbitrary: fc.record({
        _tag: tag("compareAndSet"),
        expected: optional(value),
        expiry,
        key,
        next: optional(value)
      }),
      weight: 2
    },
    { arbitrary: fc.record({ _tag: tag("increment"), by: fc.integer({ max: 3, min: 1 }), expiry, key }), weight: 2 },
    { arbitrary: fc.record({ _tag: tag("rename"), key, overwrite: fc.boolean(), to: key }), weight: 2 },
    { arbitrary: fc.record({ _tag: tag("toMap", "isEmpty", "sweep") }), weight: 2 },
    fc.record({ _tag: tag("extend"), by: life, key }),
    fc.record({ _tag: tag("modifyAway"), key }),
    fc.record({
      _tag: tag("transaction"),
      commands: fc.array(tie("command"), { maxLength: 6 }),
      commit: fc.boolean()
    })
  )
}))

interface Entry {
  readonly value: string
  /** `Infinity` for never. */
  readonly expiresAt: number
}

/** What is stored, expired or not, and the time. Reading never removes; writing over what is expired does. */
interface Model {
  entries: Map<string, Entry>
  now: number
  readonly lifetime: number
}

const order = (a: string, b: string) => Buffer.compare(Buffer.from(a), Buffer.from(b))

const live = (model: Model, key: string): Entry | undefined => {
  const found = model.entries.get(key)
  return found !== undefined && found.expiresAt > model.now ? found : undefined
}

const option = (model: Model, key: string): Option.Option<string> =>
  Option.map(Option.fromNullable(live(model, key)), ({ value }) => value)

const inRange = (model: Model, range: KeyValueStore.Range<string> = {}, limited = true): Array<[string, string]> => {
  const found = [...model.entries].flatMap(([key, { value }]): Array<[string, string]> =>
    live(model, key) !== undefined &&
      key.startsWith(range.prefix ?? "") &&
      (range.from === undefined || order(key, range.from) >= 0) &&
      (range.through === undefined || order(key, range.through) <= 0)
      ? [[key, value]]
      : []
  ).sort(([a], [b]) => (range.reverse === true ? -1 : 1) * order(a, b))
  return limited ? found.slice(0, range.limit ?? Infinity) : found
}

/** When what is written now expires; `unsaid` is what holds if nothing was said. */
const expiryOf = (model: Model, before: Entry | undefined, expiry: Expiry, unsaid: "keep" | "lifetime"): number =>
  expiry !== undefined && "life" in expiry
    ? model.now + Math.max(expiry.life, 0)
    : expiry !== undefined && "at" in expiry
    ? begin + expiry.at
    : (expiry !== undefined || unsaid === "keep") && before !== undefined
    ? before.expiresAt
    : model.now + model.lifetime

const put = (model: Model, key: string, value: string, expiry: Expiry, unsaid: "keep" | "lifetime"): void => {
  model.entries.set(key, { expiresAt: expiryOf(model, live(model, key), expiry, unsaid), value })
}

const drop = (model: Model, key: string): boolean => {
  const was = live(model, key) !== undefined
  model.entries.delete(key)
  return was
}

const reschedule = (model: Model, key: string, next: (before: number) => number | undefined): boolean => {
  const entry = live(model, key)
  const expiresAt = entry === undefined ? undefined : next(entry.expiresAt)
  if (entry === undefined || expiresAt === undefined) return false
  model.entries.set(key, { ...entry, expiresAt })
  return true
}

const meets = (condition: TtlStore.Condition | undefined, before: number, next: number): boolean =>
  condition === undefined || {
    earlier: next < before,
    expiring: before < Infinity,
    later: next > before,
    persistent: before === Infinity
  }[condition]

const touched = (model: Model, life: number | undefined) => (before: number): number =>
  life !== undefined
    ? model.now + Math.max(life, 0)
    : model.lifetime === Infinity
    ? before
    : Math.max(before, model.now + model.lifetime)

const expect = (model: Model, command: Command): unknown => {
  switch (command._tag) {
    case "get":
      return option(model, command.key)
    case "has":
      return live(model, command.key) !== undefined
    case "getMany":
      return command.keys.map((key) => option(model, key))
    case "getManyMap":
      return new Map(command.keys.flatMap((key) => Option.toArray(option(model, key)).map((value) => [key, value])))
    case "take": {
      const before = option(model, command.key)
      drop(model, command.key)
      return before
    }
    case "remove":
      return drop(model, command.key)
    case "removeMany":
      return command.keys.filter((key) => drop(model, key)).length
    case "set":
      return put(model, command.key, command.value, command.expiry, "lifetime")
    case "setMany": {
      const last = new Map(command.entries.map((entry) => [entry.key, entry]))
      for (const { expiry, key, value } of last.values()) put(model, key, value, expiry ?? command.expiry, "lifetime")
      return undefined
    }
    case "insert":
    case "replace": {
      const writes = (live(model, command.key) === undefined) === (command._tag === "insert")
      if (writes) put(model, command.key, command.value, command.expiry, "lifetime")
      return writes
    }
    case "swap": {
      const before = option(model, command.key)
      put(model, command.key, command.value, command.expiry, "lifetime")
      return before
    }
    case "getOrInsert":
    case "getOrSet": {
      const before = live(model, command.key)
      if (before !== undefined) return before.value
      put(model, command.key, command.value, command.expiry, "lifetime")
      return command.value
    }
    case "update":
      if (live(model, command.key) === undefined) return Option.none()
      put(model, command.key, command.value, command.expiry, "keep")
      return Option.some(command.value)
    case "modify": {
      const before = option(model, command.key)
      put(model, command.key, command.value, command.expiry, "keep")
      return before
    }
    case "modifyAway": {
      const before = option(model, command.key)
      if (Option.isSome(before)) drop(model, command.key)
      return before
    }
    case "compareAndSet": {
      if (live(model, command.key)?.value !== command.expected) return false
      if (command.next === undefined) drop(model, command.key)
      else put(model, command.key, command.next, command.expiry, "keep")
      return true
    }
    case "append":
      return put(model, command.key, (live(model, command.key)?.value ?? "") + command.value, command.expiry, "keep")
    case "increment": {
      const now = Number(live(model, command.key)?.value ?? 0)
      const sum = now + command.by
      if (Number.isSafeInteger(now) && !Number.isSafeInteger(sum)) return "CounterError"
      put(model, command.key, JSON.stringify(sum), command.expiry, "keep")
      return sum
    }
    case "rename": {
      const source = live(model, command.key)
      if (source === undefined) return "SourceMissing"
      if (command.key === command.to) return "Renamed"
      if (live(model, command.to) !== undefined && !command.overwrite) return "TargetExists"
      model.entries.set(command.to, source)
      drop(model, command.key)
      return "Renamed"
    }
    case "entries":
      return inRange(model, command.range)
    case "keys":
      return inRange(model, command.range).map(([key]) => key)
    case "values":
      return inRange(model, command.range).map(([, value]) => value)
    case "size":
      return inRange(model, command.range, false).length
    case "clear": {
      const found = inRange(model, command.range, false)
      // What is expired goes as well.
      const expired = inRange({ ...model, now: -Infinity }, command.range, false)
      for (const [key] of expired) drop(model, key)
      return found.length
    }
    case "toMap":
      return new Map(inRange(model))
    case "isEmpty":
      return inRange(model).length === 0
    case "sweep":
      return [...model.entries.keys()].filter((key) => live(model, key) === undefined && !drop(model, key)).length
    case "ttl": {
      const entry = live(model, command.key)
      return entry === undefined
        ? { _tag: "Missing" }
        : entry.expiresAt === Infinity
        ? { _tag: "Persistent" }
        : {
          _tag: "Remaining",
          expiresAt: entry.expiresAt,
          timeToLive: Duration.millis(entry.expiresAt - model.now)
        }
    }
    case "persist":
      return reschedule(model, command.key, () => Infinity)
    case "touch":
      return reschedule(model, command.key, touched(model, command.life))
    case "getAndTouch": {
      const before = option(model, command.key)
      reschedule(model, command.key, touched(model, command.life))
      return before
    }
    case "extend":
      return reschedule(model, command.key, (before) => before + Math.max(command.by, 0))
    case "expire":
    case "expireAt": {
      const next = command._tag === "expire" ? model.now + Math.max(command.life, 0) : begin + command.life
      return reschedule(model, command.key, (before) => meets(command.onlyIf, before, next) ? next : undefined)
    }
    case "clock":
      model.now += command.millis
      return undefined
    case "transaction": {
      const before = new Map(model.entries)
      const answers = command.commands.map((command) => expect(model, command))
      if (!command.commit) model.entries = before
      return answers
    }
  }
}

interface Stores {
  readonly texts: TtlStore.TtlStore<string, string>
  /** The same entries as numbers. */
  readonly numbers: TtlStore.TtlStore<string, number>
}

const collect = <A, E>(stream: Stream.Stream<A, E>) => Effect.map(Stream.runCollect(stream), Chunk.toReadonlyArray)

const toExpiry = (expiry: Expiry): TtlStore.Expiry | undefined =>
  expiry === undefined || "keep" in expiry
    ? expiry
    : "life" in expiry
    ? { timeToLive: expiry.life }
    : { expiresAt: begin + expiry.at }

const run = (stores: Stores, command: Command): Effect.Effect<unknown, unknown> => {
  const { numbers, texts } = stores
  const expiry = "expiry" in command ? toExpiry(command.expiry) : undefined
  switch (command._tag) {
    case "get":
    case "has":
    case "take":
    case "remove":
    case "persist":
      return texts[command._tag](command.key)
    case "ttl":
      return Effect.map(texts.ttl(command.key), (ttl) => ({ ...ttl }))
    case "getMany":
    case "getManyMap":
    case "removeMany":
      return texts[command._tag](command.keys)
    case "set":
    case "insert":
    case "replace":
    case "swap":
      return texts[command._tag](command.key, command.value, expiry)
    case "append":
      return texts.append(command.key, command.value, expiry)
    case "setMany":
      return texts.setMany(command.entries.map(({ expiry, key, value }) => [key, value, toExpiry(expiry)]), expiry)
    case "getOrInsert":
      return texts.getOrInsert(command.key, () => command.value, expiry)
    case "getOrSet":
      return texts.getOrSet(command.key, Effect.succeed(command.value), expiry)
    case "update":
      return texts.update(command.key, () => command.value, expiry)
    case "modify":
      return texts.modify(command.key, (before) => [before, Option.some(command.value)], expiry)
    case "modifyAway":
      return texts.modify(command.key, (before) => [before, Option.none()])
    case "compareAndSet":
      return texts.compareAndSet(
        command.key,
        Option.fromNullable(command.expected),
        Option.fromNullable(command.next),
        expiry
      )
    case "increment":
      return Effect.catchTag(
        numbers.increment(command.key, command.by, expiry),
        "CounterError",
        ({ _tag }) => Effect.succeed(_tag)
      )
    case "rename":
      return texts.rename(command.key, command.to, { overwrite: command.overwrite })
    case "entries":
    case "keys":
    case "values":
      return collect<unknown, unknown>(texts[command._tag](command.range))
    case "size":
    case "clear":
      return texts[command._tag](command.range)
    case "toMap":
      return texts.toMap()
    case "isEmpty":
      return texts.isEmpty
    case "sweep":
      return texts.sweep
    case "touch":
    case "getAndTouch":
      return texts[command._tag](command.key, command.life)
    case "extend":
      return texts.extend(command.key, command.by)
    case "expire":
      return texts.expire(command.key, command.life, { onlyIf: command.onlyIf })
    case "expireAt":
      return texts.expireAt(command.key, begin + command.life, { onlyIf: command.onlyIf })
    case "clock":
      return Effect.flatMap(
        Effect.clockWith((clock) => clock.currentTimeMillis),
        (now) => TestClock.setTime(now + command.millis)
      )
    case "transaction":
      return texts.transaction(Effect.flatMap(
        Effect.forEach(command.commands, (command) => run(stores, command)),
        (answers) => command.commit ? Effect.succeed(answers) : Effect.fail({ rolledBack: answers })
      )).pipe(Effect.catchIf(
        (error) => typeof error === "object" && error !== null && "rolledBack" in error,
        (error) => Effect.succeed((error as { readonly rolledBack: unknown }).rolledBack)
      ))
  }
}

export const suite = (engine: Engine) =>
  describeOn(engine, "a model of TtlStore", () => {
    it("agrees on every answer of random programs", () =>
      fc.assert(
        fc.asyncProperty(
          fc.array(command, { maxLength: 40, minLength: 5 }),
          fc.boolean(),
          fc.boolean(),
          (commands, lasting, prefixed) =>
            Effect.gen(function*() {
              const timeToLive = lasting ? undefined : 15
              const texts = yield* TtlStore.make({ keyspace: "model", timeToLive, value: Codec.text })
              const numbers = yield* TtlStore.make({ keyspace: "model", timeToLive, value: Schema.Number })
              const stores = prefixed
                ? { numbers: numbers.prefix("a"), texts: texts.prefix("a") }
                : { numbers, texts }
              const model: Model = { entries: new Map(), lifetime: timeToLive ?? Infinity, now: begin }
              for (const command of commands) {
                const expected = expect(model, command)
                const actual = yield* run(stores, command)
                deepStrictEqual(actual, expected, JSON.stringify(command))
              }
            }).pipe(
              Effect.provide(engine.layer),
              (program) => Effect.zipRight(TestClock.setTime(begin), program),
              Effect.provide(TestContext.TestContext),
              Effect.runPromise
            )
        ),
        { numRuns: engine === postgres ? 30 : 60 }
      ), 60_000)
  })
