/** Words that follow a table's name and are no alias. */
const keywords = 'where|set|on|left|inner|join|cross|order|values|limit|returning|for|group|using'

const bare = /(?<![.\w])(?<!set )user_id (?:=|in) /g

const equality = (alias: string): RegExp =>
  new RegExp(`\\b${alias}\\.user_id = |= ${alias}\\.user_id\\b|\\b${alias} using \\(user_id\\b`)

/**
 * The tables of a statement that it does not narrow to one user: each must have an equality on its `user_id`, by its
 * alias where it has one, or be inserted into with one. `tables` matches a table's name, without quotes.
 */
export function tablesOfManyUsers(statement: string, tables: RegExp): string[] {
  const text = statement.replaceAll('"', '').replace(/--.*$/gm, '').replace(/\s+/g, ' ')
  const reference = new RegExp(
    `(from|join|update|into) (${tables.source})(?: (?:as )?(?!(?:${keywords})\\b)(\\w+))?( \\([^)]*\\))?`,
    'gi',
  )
  const strangers: string[] = []
  const unnamed: string[] = []
  for (const [, verb, table, alias, columns] of text.matchAll(reference)) {
    if (verb!.toLowerCase() === 'into') {
      if (!/\buser_id\b/.test(columns ?? '')) strangers.push(table!)
    } else if (alias === undefined) unnamed.push(table!)
    else if (!equality(alias).test(text)) strangers.push(table!)
  }
  return [...strangers, ...unnamed.slice(text.match(bare)?.length ?? 0)]
}

/** The statements of a PL/pgSQL body, without its comments. */
export const statementsOf = (body: string): string[] => body.replace(/--.*$/gm, '').split(';')
