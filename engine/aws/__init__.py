"""What any AWS service needs and no business: shapes, protocols, faults, names, signatures."""
