// Boost.JSON itself, compiled here: it is used by this folder alone.
#include <boost/json/src.hpp>
