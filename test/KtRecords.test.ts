import { kinds } from "./engines.js"
import { suite } from "./suites/ktRecords.js"

for (const engine of kinds) suite(engine)
