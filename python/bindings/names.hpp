// From the names that Python uses to the core's enumerations.
#pragma once

#include <cstddef>
#include <stdexcept>
#include <string>

namespace chainrule::bindings {

template <class Enum, std::size_t Count>
Enum find(const char* const (&names)[Count], const std::string& name, const std::string& argument) {
  for (std::size_t i = 0; i < Count; ++i) {
    if (name == names[i]) return static_cast<Enum>(i);
  }
  throw std::invalid_argument(argument + " has no value '" + name + "'");
}

}  // namespace chainrule::bindings
