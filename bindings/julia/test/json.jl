# The little JSON that the tests need.

parse_json(text::AbstractString) = first(json_value(text, firstindex(text)))

skip_space(text, at) = something(findnext(c -> !isspace(c), text, at), lastindex(text) + 1)

function json_value(text, at)
    at = skip_space(text, at)
    text[at] == '{' && return json_object(text, at)
    text[at] == '[' && return json_list(text, at)
    text[at] == '"' && return json_string(text, at)
    for (word, value) in (("true", true), ("false", false), ("null", nothing))
        startswith(SubString(text, at), word) && return value, at + length(word)
    end
    stop = something(findnext(c -> !(c in "+-.0123456789eE"), text, at), lastindex(text) + 1)
    return parse(Float64, SubString(text, at, stop - 1)), stop
end

function json_string(text, at)
    stop = findnext('"', text, at + 1)
    return String(SubString(text, at + 1, prevind(text, stop))), stop + 1
end

function json_list(text, at)
    values = Any[]
    at = skip_space(text, at + 1)
    while text[at] != ']'
        value, at = json_value(text, at)
        push!(values, value)
        at = skip_space(text, at)
        text[at] == ',' && (at = skip_space(text, at + 1))
    end
    return values, at + 1
end

function json_object(text, at)
    members = Dict{String,Any}()
    at = skip_space(text, at + 1)
    while text[at] != '}'
        key, at = json_string(text, at)
        value, at = json_value(text, skip_space(text, at) + 1)
        members[key] = value
        at = skip_space(text, at)
        text[at] == ',' && (at = skip_space(text, at + 1))
    end
    return members, at + 1
end
