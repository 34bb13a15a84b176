/**
 * Times two ways of doing the same, in turn, in one process, and prints the ratio of their medians. Absolute times say
 * something about the machine; ratios say something about the library.
 */
import { Effect } from "effect"

export interface Row {
  readonly name: string
  /** The ratio to the raw driver that is aimed for; a row without one only watches. */
  readonly target?: number
  /** How many operations one run does. */
  readonly operations: number
  readonly raw: () => void
  readonly ours: Effect.Effect<unknown, unknown>
  readonly rounds?: number
  readonly unit?: string
}

export interface Result {
  readonly name: string
  readonly raw: number
  readonly ours: number
  readonly ratio: number
  readonly target: number | undefined
}

const median = (values: ReadonlyArray<number>): number =>
  [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? NaN

const microseconds = (from: bigint): number => Number(process.hrtime.bigint() - from) / 1000

export const measure = (row: Row): Effect.Effect<Result> =>
  Effect.gen(function*() {
    const raw: Array<number> = []
    const ours: Array<number> = []
    const timeRaw = Effect.sync(() => {
      const start = process.hrtime.bigint()
      row.raw()
      return microseconds(start)
    })
    const timeOurs = Effect.gen(function*() {
      const start = process.hrtime.bigint()
      yield* Effect.orDie(row.ours)
      return microseconds(start)
    })
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
    const result = {
      name: row.name,
      ours: median(ours),
      ratio: median(ours) / median(raw),
      raw: median(raw),
      target: row.target
    }
    return result
  })

export const print = (results: ReadonlyArray<Result>): void => {
  const lines = [
    ["operation", "raw us", "effect-kv us", "ratio", "aim"],
    ...results.map((result) => [
      result.name,
      result.raw.toFixed(2),
      result.ours.toFixed(2),
      result.ratio.toFixed(2),
      result.target === undefined ? "" : result.target.toFixed(2) + (result.ratio <= result.target ? "" : "  missed")
    ])
  ]
  const widths = lines[0]?.map((_, column) => Math.max(...lines.map((line) => line[column]?.length ?? 0))) ?? []
  for (const line of lines) {
    process.stdout.write(
      line.map((cell, column) => column === 0 ? cell.padEnd(widths[0] ?? 0) : cell.padStart(widths[column] ?? 0)).join(
        "  "
      ) +
        "\n"
    )
  }
}
