import { kinds } from "./engines.js"
import { suite } from "./suites/memoizeFlights.js"

for (const engine of kinds) suite(engine)
