import { kinds } from "./engines.js"
import { suite } from "./suites/memoize.js"

for (const engine of kinds) suite(engine)
