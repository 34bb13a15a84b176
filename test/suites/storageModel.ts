/** Random programs, run on an engine and on a plain Map: they must agree on every answer. */
import { it } from "@effect/vitest"
import { deepStrictEqual } from "@effect/vitest/utils"
import { Chunk, Effect, FastCheck as fc, Option, Stream, TestClock, TestContext } from "effect"
import { Storage } from "effect-kv"
import { describeOn, type Engine, postgres } from "../engines.js"

type Command =
  | { readonly _tag: "Get" | "Head" | "Remove"; readonly key: string }
  | { readonly _tag: "GetMany" | "RemoveMany"; readonly keys: ReadonlyArray<string> }
  | { readonly _tag: "Set"; readonly entry: NewEntry }
  | { readonly _tag: "SetMany"; readonly entries: ReadonlyArray<NewEntry> }
  | { readonly _tag: "Insert" | "Replace" | "Swap"; readonly entry: NewEntry }
  | { readonly _tag: "Take" | "Entries" | "Keys" | "Stat" | "Clear"; readonly range: Storage.Range }
  | { readonly _tag: "Advance"; readonly millis: number }
  | { readonly _tag: "RemoveExpired"; readonly limit: number }
  | { readonly _tag: "Transaction"; readonly commit: boolean; readonly commands: ReadonlyArray<Command> }

interface NewEntry {
  readonly key: string
  readonly value: Storage.Value
  /** Milliseconds from now. */
  readonly life: number | undefined
}

const key = fc.constantFrom("", "A", "a", "ab", "abc", "b", "é", "\uE000", "\uFFFF", "\u{1F600}", "a\u{10FFFF}")
const value: fc.Arbitrary<Storage.Value> = fc.oneof(fc.string({ maxLength: 5 }), fc.uint8Array({ maxLength: 5 }))
const entry: fc.Arbitrary<NewEntry> = fc.record({
  key,
  life: fc.option(fc.integer({ max: 30, min: -2 }), { nil: undefined }),
  value
})
const bound = fc.option(key, { nil: undefined })
const range: fc.Arbitrary<Storage.Range> = fc.record({
  after: fc.option(key, { freq: 1, nil: undefined }),
  from: bound,
  limit: fc.option(fc.integer({ max: 6, min: 0 }), { nil: undefined }),
  prefix: fc.option(fc.constantFrom("", "a", "ab", "\uFFFF"), { nil: undefined }),
  reverse: fc.boolean(),
  through: bound,
  to: bound
})

const tag = <const Tags extends ReadonlyArray<string>>(...tags: Tags): fc.Arbitrary<Tags[number]> =>
  fc.constantFrom(...tags)

const { command } = fc.letrec<{ readonly command: Command }>((tie) => ({
  command: fc.oneof(
    { depthSize: "small", maxDepth: 3 },
    fc.record({ _tag: tag("Get", "Head", "Remove"), key }),
    fc.record({ _tag: tag("GetMany", "RemoveMany"), keys: fc.array(key, { maxLength: 5 }) }),
    fc.record({ _tag: tag("Set"), entry }),
    fc.record({ _tag: tag("SetMany"), entries: fc.array(entry, { maxLength: 5 }) }),
    fc.record({ _tag: tag("Insert", "Replace", "Swap"), entry }),
    fc.record({ _tag: tag("Take", "Entries", "Keys", "Stat", "Clear"), range }),
    fc.record({ _tag: tag("Advance"), millis: fc.integer({ max: 12, min: 0 }) }),
    fc.record({ _tag: tag("RemoveExpired"), limit: fc.integer({ max: 4, min: 1 }) }),
    fc.record({
      _tag: tag("Transaction"),
      commands: fc.array(tie("command"), { maxLength: 6 }),
      commit: fc.boolean()
    })
  )
}))

/** The plain model: what is stored, expired or not, and the time. */
interface Model {
  entries: Map<string, Storage.Entry>
  now: number
}

const order = (a: string, b: string) => Buffer.compare(Buffer.from(a), Buffer.from(b))
const bytesOf = (value: Storage.Value) => Buffer.from(value).length

const live = (model: Model, key: string): Storage.Entry | undefined => {
  const found = model.entries.get(key)
  return found !== undefined && (found.expiresAt === undefined || found.expiresAt > model.now) ? found : undefined
}

const inRange = (model: Model, range: Storage.Range, limited: boolean): Array<Storage.Entry> => {
  const reverse = range.reverse === true
  const found = [...model.entries.values()].filter(({ key }) =>
    live(model, key) !== undefined &&
    (range.prefix === undefined || key.startsWith(range.prefix)) &&
    (range.from === undefined || order(key, range.from) >= 0) &&
    (range.to === undefined || order(key, range.to) < 0) &&
    (range.through === undefined || order(key, range.through) <= 0) &&
    (range.after === undefined || (reverse ? order(key, range.after) < 0 : order(key, range.after) > 0))
  ).sort((a, b) => (reverse ? -1 : 1) * order(a.key, b.key))
  return limited ? found.slice(0, range.limit ?? Infinity) : found
}

const store = (model: Model, { key, life, value }: NewEntry): void => {
  model.entries.set(key, { expiresAt: life === undefined ? undefined : model.now + life, key, value })
}

const drop = (model: Model, key: string): number => {
  const was = live(model, key) === undefined ? 0 : 1
  model.entries.delete(key)
  return was
}

const expect = (model: Model, command: Command): unknown => {
  switch (command._tag) {
    case "Get":
      return live(model, command.key)
    case "Head": {
      const found = live(model, command.key)
      return found && { expiresAt: found.expiresAt }
    }
    case "GetMany":
      return command.keys.map((key) => live(model, key))
    case "Set":
      return store(model, command.entry)
    case "SetMany":
      return command.entries.forEach((entry) => store(model, entry))
    case "Insert":
    case "Replace": {
      const before = live(model, command.entry.key)
      if ((before === undefined) === (command._tag === "Insert")) store(model, command.entry)
      return before
    }
    case "Swap": {
      const before = live(model, command.entry.key)
      store(model, command.entry)
      return before
    }
    case "Remove":
      return drop(model, command.key) === 1
    case "RemoveMany":
      return command.keys.reduce((count, key) => count + drop(model, key), 0)
    case "Take": {
      const taken = inRange(model, command.range, true)
      for (const { key } of taken) model.entries.delete(key)
      return taken
    }
    case "Entries":
      return inRange(model, command.range, true)
    case "Keys":
      return inRange(model, command.range, true).map(({ key }) => key)
    case "Stat": {
      const found = inRange(model, command.range, false)
      return {
        bytes: found.reduce((sum, { key, value }) => sum + bytesOf(key) + bytesOf(value), 0),
        entries: found.length
      }
    }
    case "Clear": {
      const found = inRange(model, command.range, false)
      for (const { key } of found) model.entries.delete(key)
      return found.length
    }
    case "Advance":
      model.now += command.millis
      return undefined
    case "RemoveExpired":
      return undefined
    case "Transaction": {
      const before = new Map(model.entries)
      const answers = command.commands.map((command) => expect(model, command))
      if (!command.commit) model.entries = before
      return answers
    }
  }
}

const run = (
  storage: Storage.Storage["Type"],
  keyspace: Storage.Keyspace,
  command: Command
): Effect.Effect<unknown, unknown> => {
  const update = ({ key, life, value }: NewEntry, when: "absent" | "present" | "always") =>
    Effect.flatMap(Effect.clock, (clock) =>
      Effect.map(
        keyspace.modify(key, (found) => [
          found,
          when === "always" || Option.isNone(found) === (when === "absent")
            ? Storage.put(value, life === undefined ? undefined : clock.unsafeCurrentTimeMillis() + life)
            : Storage.keep
        ]),
        Option.getOrUndefined
      ))
  const timed = ({ key, life, value }: NewEntry) =>
    Effect.map(Effect.clock, (clock): Storage.Entry => ({
      expiresAt: life === undefined ? undefined : clock.unsafeCurrentTimeMillis() + life,
      key,
      value
    }))
  switch (command._tag) {
    case "Get":
      return Effect.map(keyspace.get(command.key), Option.getOrUndefined)
    case "Head":
      return Effect.map(keyspace.head(command.key), Option.getOrUndefined)
    case "GetMany":
      return Effect.map(keyspace.getMany(command.keys), (found) => found.map(Option.getOrUndefined))
    case "Set":
      return Effect.flatMap(timed(command.entry), (_) => keyspace.set(_.key, _.value, _.expiresAt))
    case "SetMany":
      return Effect.flatMap(Effect.forEach(command.entries, timed), keyspace.setMany)
    case "Insert":
      return update(command.entry, "absent")
    case "Replace":
      return update(command.entry, "present")
    case "Swap":
      return update(command.entry, "always")
    case "Remove":
      return keyspace.remove(command.key)
    case "RemoveMany":
      return keyspace.removeMany(command.keys)
    case "Take":
      return keyspace.take(command.range, Infinity)
    case "Entries":
      return Effect.map(Stream.runCollect(keyspace.entries(command.range)), Chunk.toReadonlyArray)
    case "Keys":
      return Effect.map(Stream.runCollect(keyspace.keys(command.range)), Chunk.toReadonlyArray)
    case "Stat":
      return keyspace.stat(command.range)
    case "Clear":
      return keyspace.clear(command.range)
    case "Advance":
      return TestClock.adjust(command.millis)
    case "RemoveExpired":
      // Changes nothing that can be seen.
      return Effect.asVoid(keyspace.removeExpired({ limit: command.limit }))
    case "Transaction":
      return storage.transaction(Effect.flatMap(
        Effect.forEach(command.commands, (command) => run(storage, keyspace, command)),
        (answers) => command.commit ? Effect.succeed(answers) : Effect.fail({ rolledBack: answers })
      )).pipe(Effect.catchIf(
        (error) => typeof error === "object" && error !== null && "rolledBack" in error,
        (error) => Effect.succeed((error as { readonly rolledBack: unknown }).rolledBack)
      ))
  }
}

export const suite = (engine: Engine) =>
  describeOn(engine, "a model of Storage", () => {
    it("agrees on every answer of random programs", () =>
      fc.assert(
        fc.asyncProperty(fc.array(command, { maxLength: 30, minLength: 5 }), (commands) =>
          Effect.gen(function*() {
            const storage = yield* Storage.Storage
            const keyspace = yield* storage.keyspace("model")
            const model: Model = { entries: new Map(), now: 0 }
            for (const command of commands) {
              const expected = expect(model, command)
              const actual = yield* run(storage, keyspace, command)
              deepStrictEqual(actual, expected, JSON.stringify(command))
            }
          }).pipe(Effect.provide(engine.layer), Effect.provide(TestContext.TestContext), Effect.runPromise)),
        { numRuns: engine === postgres ? 30 : 75 }
      ), 60_000)
  })
