import { kinds } from "./engines.js"
import { suite } from "./suites/ktNumbers.js"

for (const engine of kinds) suite(engine)
