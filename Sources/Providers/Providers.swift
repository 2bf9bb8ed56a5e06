// placeholder
package let names = EmbeddedFiles.all.map(\.name)
