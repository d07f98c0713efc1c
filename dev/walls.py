"""Two kinds of import walls that import-linter does not bring along. Each looks at direct imports."""

import sys
from typing import cast

from grimp import ImportGraph
from importlinter import Contract, ContractCheck, fields, output

# A list of dotted names, as pyproject.toml writes it.
_Names = tuple[str, ...]


def _within(module: str, package: str) -> bool:
    return module == package or module.startswith(f"{package}.")


def _names(value: object) -> _Names:
    return tuple(cast("list[str]", value or []))


class _Wall(Contract):
    """A contract that is kept when no direct import breaks it."""

    def broken(self, importer: str, imported: str) -> bool:
        raise NotImplementedError

    def check(self, graph: ImportGraph, verbose: bool) -> ContractCheck:
        found = sorted(
            f"{importer} imports {imported}"
            for importer in graph.modules
            for imported in graph.find_modules_directly_imported_by(importer)
            if self.broken(importer, imported)
        )
        return ContractCheck(kept=not found, metadata={"found": found})

    def render_broken_contract(self, check: ContractCheck) -> None:
        for line in cast("list[str]", check.metadata["found"]):
            output.print_error(line)


class MayImport(_Wall):
    """The source package imports itself, the standard library and the allowed packages; nothing else."""

    type_name = "may_import"
    source = fields.StringField()
    allowed = fields.ListField(subfield=fields.StringField())

    def broken(self, importer: str, imported: str) -> bool:
        source = str(self.source)
        if not _within(importer, source) or imported.split(".")[0] in sys.stdlib_module_names:
            return False
        return not any(_within(imported, package) for package in (source, *_names(self.allowed)))


class SoleImporter(_Wall):
    """The packages are imported by the importers alone."""

    type_name = "sole_importer"
    packages = fields.ListField(subfield=fields.StringField())
    importers = fields.ListField(subfield=fields.StringField())

    def broken(self, importer: str, imported: str) -> bool:
        if not any(_within(imported, package) for package in _names(self.packages)):
            return False
        inside = any(_within(importer, package) for package in _names(self.packages))
        return not inside and not any(_within(importer, package) for package in _names(self.importers))
