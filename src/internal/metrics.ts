/**
 * Metrics by a label, the name of what is counted. A counter is looked up once, and is then one addition to a number.
 *
 * @internal
 */
import * as Metric from "effect/Metric"
import * as MetricBoundaries from "effect/MetricBoundaries"
import * as MetricKey from "effect/MetricKey"
import * as MetricLabel from "effect/MetricLabel"

const none: ReadonlyArray<MetricLabel.MetricLabel> = []

const keyOf = (name: string, description: string) => MetricKey.counter(name, { description, incremental: true })

/** @internal */
export const counter = ([name, description]: readonly [name: string, description: string]) =>
  Metric.fromMetricKey(keyOf(name, description))

/**
 * How to add to a counter of one label.
 *
 * @internal
 */
export const counterOf = (
  [name, description]: readonly [name: string, description: string],
  label: string,
  value: string
): (count: number) => void => {
  const metric = Metric.fromMetricKey(
    MetricKey.taggedWithLabels(keyOf(name, description), [MetricLabel.make(label, value)])
  )
  return (count) => {
    if (count > 0) metric.unsafeUpdate(count, none)
  }
}

/**
 * A histogram of milliseconds, from half of one to about half a minute.
 *
 * @internal
 */
export const millis = (name: string, description: string) =>
  Metric.histogram(name, MetricBoundaries.exponential({ count: 17, factor: 2, start: 0.5 }), description)

/** @internal */
export const record = (
  metric: Metric.Metric.Histogram<number>,
  label: string,
  name: string | undefined,
  value: number
): void => metric.unsafeUpdate(value, name === undefined ? none : [MetricLabel.make(label, name)])
