/** What to print for a fault, without the secrets of the database's URL. */
export function describe(fault: unknown, url: string | undefined): string {
  return masked(sentence(fault, url), url)
}

function sentence(fault: unknown, url: string | undefined): string {
  const { code, message } = fault as { code?: unknown; message?: unknown }
  const where = url !== undefined && URL.canParse(url) ? new URL(url).host : 'the database'
  if (code === 'ECONNREFUSED')
    return `Nothing answers at ${where}. Is Postgres running there, and is --database (or DATABASE_URL) right?`
  if (code === 'ENOTFOUND' || code === 'EAI_AGAIN')
    return `The host of ${where} is not known. Check --database (or DATABASE_URL).`
  if (code === '28P01' || code === '28000')
    return `${where} refused the user or its password. Check --database (or DATABASE_URL).`
  if (code === '3D000') return `${String(message)}. Create it first, or name another one.`
  if (code === '42501')
    return `${String(message)}. Use a role that may create tables, or hand the output of --sql to one that may.`
  return typeof message === 'string' && message !== '' ? message : String(code ?? fault)
}

/** Passwords are shown neither in a URL nor alone, as written or decoded. */
export function masked(text: string, url: string | undefined): string {
  const hidden = secretsOf(url).reduce((shown, secret) => shown.replaceAll(secret, '***'), text)
  return hidden.replaceAll(/(\w+:\/\/[^:@/\s]*:)[^@\s]*@/g, '$1***@')
}

function secretsOf(url: string | undefined): string[] {
  if (url === undefined || !URL.canParse(url)) return []
  const { password, searchParams } = new URL(url)
  const written = [password, searchParams.get('password') ?? '']
  return [...written, ...written.map(decoded)].filter((secret) => secret !== '')
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}
