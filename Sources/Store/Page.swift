/// One page of a list, read by keyset: `next` goes into the following call, `nil` where the list is at its end.
package struct Page<Item: Sendable>: Sendable {
    package var items: [Item]
    package var next: String?

    package init(items: [Item], next: String?) {
        self.items = items
        self.next = next
    }
}
