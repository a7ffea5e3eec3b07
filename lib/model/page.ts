/** Where a page begins and how long it is. `after` and `before` are cursors of an earlier page; `offset` is for people's page numbers. */
export interface PageRequest {
  readonly limit: number
  readonly offset?: number
  readonly after?: string
  readonly before?: string
  readonly order?: 'asc' | 'desc'
}

export interface Page<Item> {
  readonly data: readonly Item[]
  readonly hasMore: boolean
  /**
   * Where to go on in the direction that was asked: names the last item of this page, to be passed as `after`; of a page that was
   * asked by `before`, its first item, to be passed as `before`. `null` on an empty page.
   */
  readonly nextCursor: string | null
}
