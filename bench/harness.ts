/**
 * Times several ways of doing the same, in turn, in one process, and prints the ratios of their medians. Absolute times
 * say something about the machine; ratios say something about the library.
 */
import { Effect } from "effect"
import * as os from "node:os"

export const say = (line: string): void => void process.stdout.write(`${line}\n`)

export const median = (values: ReadonlyArray<number>): number =>
  [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? NaN

const microseconds = (from: bigint): number => Number(process.hrtime.bigint() - from) / 1000

export const table = (lines: ReadonlyArray<ReadonlyArray<string>>): void => {
  const widths = lines[0]?.map((_, column) => Math.max(...lines.map((line) => line[column]?.length ?? 0))) ?? []
  for (const line of lines) {
    const cells = line.map((cell, column) =>
      column === 0 ? cell.padEnd(widths[0] ?? 0) : cell.padStart(widths[column] ?? 0)
    )
    say(cells.join("  ").trimEnd())
  }
}

/** Ours against the raw driver, or against something else of ours. */
export interface Row {
  readonly name: string
  /** The ratio that is aimed for; a row without one only watches. */
  readonly target?: number
  /** How many operations one run does. */
  readonly operations: number
  readonly raw: (() => void) | Effect.Effect<unknown, unknown>
  readonly ours: Effect.Effect<unknown, unknown>
  readonly rounds?: number
}

export interface Result {
  readonly name: string
  readonly raw: number
  readonly ours: number
  readonly ratio: number
  readonly target: number | undefined
}

export const measure = (row: Row): Effect.Effect<Result> =>
  Effect.gen(function*() {
    const raw: Array<number> = []
    const ours: Array<number> = []
    const time = (work: Effect.Effect<unknown, unknown>) =>
      Effect.gen(function*() {
        const start = process.hrtime.bigint()
        yield* Effect.orDie(work)
        return microseconds(start)
      })
    const timeRaw = time(Effect.isEffect(row.raw) ? row.raw : Effect.sync(row.raw))
    const timeOurs = time(row.ours)
    const rounds = row.rounds ?? 11
    for (let round = -2; round < rounds; round++) {
      const [a, b] = round % 2 === 0
        ? yield* Effect.all([timeRaw, timeOurs])
        : yield* Effect.map(Effect.all([timeOurs, timeRaw]), ([b, a]) => [a, b] as const)
      // The first rounds warm the compiler and the caches.
      if (round < 0) continue
      raw.push(a / row.operations)
      ours.push(b / row.operations)
    }
    return {
      name: row.name,
      ours: median(ours),
      ratio: median(ours) / median(raw),
      raw: median(raw),
      target: row.target
    }
  })

export const printAims = (results: ReadonlyArray<Result>, raw = "raw"): void =>
  table([
    ["operation", `${raw} us`, "effect-kv us", "ratio", "aim"],
    ...results.map((result) => [
      result.name,
      result.raw.toFixed(2),
      result.ours.toFixed(2),
      result.ratio.toFixed(2),
      result.target === undefined ? "" : result.target.toFixed(2) + (result.ratio <= result.target ? "" : "  missed")
    ])
  ])

/** One of those who do the same. */
export interface Runner {
  /** How many operations one run does. */
  readonly operations: number
  /** Not timed. */
  readonly before?: () => Promise<unknown>
  readonly run: () => Promise<unknown>
}

const fewest = 3
const most = 51
/** Runs that warm the compiler and the caches. Who takes longer than this in one waits for something else. */
const warmups = 2
const long = 250_000

/**
 * Microseconds an operation for each, undefined for who cannot do it. They run in turn, and the first one changes. The
 * budget is how many microseconds one runner is measured, once it has run three times.
 */
export const race = async (
  runners: ReadonlyArray<Runner | undefined>,
  budget = 500_000
): Promise<ReadonlyArray<number | undefined>> => {
  const sides = runners.map((runner) => ({ runner, spent: 0, times: new Array<number>() }))
  for (let round = 0;; round++) {
    const running = sides.filter(({ runner, spent, times }) =>
      runner !== undefined && (times.length < fewest || (times.length < most && spent < budget))
    )
    if (running.length === 0) return sides.map(({ runner, times }) => runner && median(times))
    for (let i = 0; i < running.length; i++) {
      const side = running[(i + round) % running.length]
      if (side?.runner === undefined) continue
      await side.runner.before?.()
      const start = process.hrtime.bigint()
      await side.runner.run()
      const time = microseconds(start)
      if (round < warmups && time < long) continue
      side.spent += time
      side.times.push(time / side.runner.operations)
    }
  }
}

export interface Race {
  readonly name: string
  readonly ours: number
  /** In the order of the names that they are printed with. */
  readonly peers: ReadonlyArray<number | undefined>
}

export const printRaces = (peers: ReadonlyArray<string>, races: ReadonlyArray<Race>): void =>
  table([
    ["us an operation", "effect-kv", ...peers.flatMap((peer) => [peer, "ratio"])],
    ...races.map((race) => [
      race.name,
      race.ours.toFixed(2),
      ...race.peers.flatMap((peer) =>
        peer === undefined ? ["-", "-"] : [peer.toFixed(2), (race.ours / peer).toFixed(race.ours < peer / 10 ? 4 : 2)]
      )
    ])
  ])

export const printMachine = (): void => {
  const cpus = os.cpus()
  say(`${cpus.length} x ${cpus[0]?.model.trim()}, ${os.platform()} ${os.arch()}, Node ${process.version}`)
}
